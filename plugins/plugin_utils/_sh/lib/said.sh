# What switch-to-configuration says: lines for people, and the only place where it names what has failed. Its exit code does not: in the Perl
# and the Rust form 4 (units) takes the place of 2 (the activation script), and in the Perl form of 3 (tmpfiles, systemd's units) too.
# needs: log
# shellcheck shell=sh

# said: what its last call said, a line each: "activation TEXT", "unit NAME", "user NAME", "detail USER: TEXT", "check NAME" and
# "error TEXT". What comes before its marker is another call's. Programs that it runs say things, too; so a line counts only in the part of its
# work that it belongs to, and of what `systemctl status` shows of failed units nothing does.
said() {
    { cat "$log_file.reasons" 2>/dev/null; whole_log; } | awk '
        function add(kind, text) {
            if (!((kind, text) in listed)) {
                listed[kind, text]
                found[++count] = kind " " text
            }
        }
        function add_unit(name) {
            sub(/[.:,]+$/, "", name)
            if (name ~ /^[A-Za-z0-9:_.\\@-]+\.[a-z]+$/) add("unit", name)
        }
        /^--- switch-to-configuration [a-z-]+ of / {
            count = 0
            part = ""
            split("", listed)
            next
        }
        { sub(/\r$/, "") }
        part == "status" { next }
        /^activating the configuration\.\.\./ { part = "activate"; next }
        /^restarting systemd\.\.\./ { part = "systemd"; next }
        /^reloading user units for / { part = "users"; pending = ""; next }
        /^setting up tmpfiles/ || /^(restarting|reloading|starting) the following units: / || /^the following new units were started: / { part = "units"; next }
        /^restarting sysinit-reactivation\.target/ { part = "units"; next }
        /^warning: the following units failed: / {
            part = "status"
            sub(/^[^:]*: [^:]*: /, "")
            names = split($0, name, /, */)
            for (i = 1; i <= names; i++) add_unit(name[i])
            next
        }
        # What switches the units of a user is the same program, and what it dies of its own.
        part == "users" && /^(Error: |Failed to .* (user unit |nixos-activation\.service))/ { pending = pending (pending == "" ? "" : "; ") $0; next }
        /^Error: / { add("error", substr($0, 8)); next }
        /^(Failed to install bootloader|Could not open lock|Could not acquire lock|Unable to list users with logind|This is not a NixOS installation)/ { add("error", $0); next }
        part == "" && /^Pre-switch check .* failed/ {
            sub(/^Pre-switch check ./, "")
            sub(/. failed.*$/, "")
            add("check", $0)
            next
        }
        (part == "" || part == "activate") && match($0, /Activation script snippet .* failed \([0-9]+\)/) { add("activation", substr($0, RSTART, RLENGTH)); next }
        (part == "" || part == "activate") && /^Failed to run activate script/ { add("activation", $0); next }
        # Later it is about the manager of a user.
        (part == "activate" || part == "systemd") && /^Failed to (reload|reexecute) daemon/ { add("activation", $0); next }
        part == "users" && /^warning: user activation for .* failed/ {
            sub(/^warning: user activation for /, "")
            sub(/ failed.*$/, "")
            add("user", $0)
            if (pending != "") add("detail", $0 ": " pending)
            pending = ""
            next
        }
        part != "units" { next }
        /^Failed to (start|stop|restart|reload) / { add_unit($4) }
        /^Job for / { add_unit($3) }
        /^A dependency job for / { add_unit($5) }
        /^Assertion failed on job for / { add_unit($6) }
        / is not active, cannot reload/ { add_unit($1) }
        END {
            if (part == "users" && sub(/^Error: /, "", pending)) add("error", pending)
            for (i = 1; i <= count; i++) print found[i]
        }'
}

# named KIND: what it named of a kind, from the note in said.
named() { [ ! -s "$dir/said" ] || sed -n "s/^$1 //p" "$dir/said"; }

# because: why it failed, in its own words, behind a sentence; nothing where it said nothing of that.
because() {
    said | awk '
        $1 == "activation" && /snippet/ { snippets = 1 }
        $1 == "activation" || $1 == "error" { sub(/^[a-z]+ /, ""); words[++count] = $0 }
        $1 == "check" { sub(/^check /, ""); words[++count] = "pre-switch check \047" $0 "\047 failed" }
        END {
            for (i = 1; i <= count; i++)
                if (!(snippets && words[i] ~ /^Failed to run activate script/) && shown < 3) printf "%s%s", shown++ ? "; " : ": ", substr(words[i], 1, 200)
        }'
}
