# What switch-to-configuration says: lines for people, and the only place where it names what has failed. Its exit code does not: in the Perl
# and the Rust form 4 (units) takes the place of 2 (the activation script), and in the Perl form of 3 (tmpfiles, systemd's units) too.
# needs: log
# shellcheck shell=sh

# said: what its last call said, a line each: "activation TEXT", "unit NAME", "itself TARGET" of one that did not fail with what it needs,
# "other TEXT" where no unit is named, "user NAME", "detail USER: TEXT", "check NAME" and "error TEXT"; "last STEP" where it came no further than
# one of the first; and "form known" where the steps are those that this is made for. What comes before its marker is another call's. Programs
# that it runs say things, too; so a line counts only in the part of its work that it belongs to, and of what `systemctl status` shows of failed
# units, at the end, nothing does. An activation that failed counts in nearly all, since its own programs may say what looks like the next part.
# Later in its work "reload daemon" is about the manager of a user. What switches the units of a user is the same program, and what it dies of
# its own. Other programs may print without the end of a line, so what it says may begin in the middle of one.
said() {
    local tries turn words
    tries=0
    # Not from the middle of a turn of the log's files, which may be just behind the last line.
    while :; do
        turn=$(log_turn)
        words=$(said_so_far) || return
        [ "$turn" != "$(log_turn)" ] || break
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || {
            # Somebody prints without end.
            rm -f "$log_file.whole"
            break
        }
    done
    [ -z "$words" ] || printf '%s\n' "$words"
}

said_so_far() {
    { cat "$log_file.reasons" 2>/dev/null; whole_log; } | tr -d '\000' | awk '
        function add(kind, text) {
            if (!((kind, text) in listed)) {
                listed[kind, text]
                found[++count] = kind " " text
            }
        }
        function unit_of(name) {
            sub(/[.:,]+$/, "", name)
            return name ~ /^[A-Za-z0-9:_.\\@-]+\.[a-z]+$/ ? name : ""
        }
        function add_unit(name) {
            name = unit_of(name)
            if (name != "") add("unit", name)
        }
        /^--- switch-to-configuration [a-z-]+ of / {
            count = activates = goes_on = 0
            part = ""
            split("", listed)
            next
        }
        { sub(/\r$/, "") }
        /^Failed to run activate script$/ { add("activation", $0); next }
        /^warning: the following units failed: / {
            if (part == "units" || part == "tmpfiles") part = "status"
            sub(/^[^:]*: [^:]*: /, "")
            names = split($0, name, /, */)
            for (i = 1; i <= names; i++) add_unit(name[i])
            next
        }
        part == "status" { next }
        /Failed to run activate script$/ { add("activation", "Failed to run activate script"); next }
        part != "users" && match($0, /Activation script snippet .* failed \([0-9]+\)/) { add("activation", substr($0, RSTART, RLENGTH)); next }
        /activating the configuration\.\.\.$/ { part = "activate"; of = part; activates = 1; next }
        /restarting systemd\.\.\.$/ { part = "systemd"; next }
        /reloading user units for .*\.\.\.$/ {
            part = "users"
            pending = ""
            of = "the units of the user " substr($0, index($0, "reloading user units for ") + 25)
            sub(/\.\.\.$/, "", of)
            next
        }
        /setting up tmpfiles$/ { part = "tmpfiles"; goes_on = 1; next }
        /restarting sysinit-reactivation\.target$/ { part = "units"; goes_on = 1; next }
        /^(restarting|reloading|starting) the following units: / || /^the following new units were started: / { part = "units"; next }
        part == "users" && /^(Error: |Failed to .* (user unit |nixos-activation\.service))/ { pending = pending (pending == "" ? "" : "; ") $0; next }
        /^Error: / { add("error", substr($0, 8)); next }
        /^Unable to list users with logind/ && (part == "activate" || part == "systemd") { add("other", $0) }
        /^(Failed to install bootloader|Could not open lock|Could not acquire lock|Unable to list users with logind|This is not a NixOS installation)/ { add("error", $0); next }
        part == "" && /Pre-switch check \047.*\047 failed$/ {
            sub(/^.*Pre-switch check ./, "")
            sub(/. failed$/, "")
            add("check", $0)
            next
        }
        (part == "activate" || part == "systemd") && /^Failed to (reload|reexecute) daemon/ { add("activation", $0); next }
        part == "systemd" && /^Failed to connect to / { add("activation", $0); next }
        part == "users" && /warning: user activation for .* failed$/ {
            sub(/^.*warning: user activation for /, "")
            sub(/ failed$/, "")
            add("user", $0)
            if (pending != "") add("detail", $0 ": " pending)
            pending = ""
            next
        }
        part != "units" && part != "tmpfiles" { next }
        /^Failed to (start|stop|restart|reload) / && unit_of($4) != "" {
            add_unit($4)
            if ($4 ~ /\.target:$/) add("itself", unit_of($4))
            next
        }
        /^Failed to connect to / || (part == "units" && /^Failed to /) { add("other", $0); next }
        /^Job for / { add_unit($3) }
        /^A dependency job for / { add_unit($5) }
        /^Assertion failed on job for / { add_unit($6) }
        /^Operation on or unit type of / { add_unit($7) }
        /^Queued job for .* was garbage collected/ { add_unit($4) }
        /^Unit .* was started already once/ { add_unit($2) }
        /^Cannot perform operation on frozen unit / { add_unit($7) }
        / is not active, cannot reload/ { add_unit($1) }
        END {
            if (part == "users" && sub(/^Error: /, "", pending)) add("error", pending)
            if (part == "users" || part == "activate") add("last", of)
            if (activates && goes_on) add("form", "known")
            for (i = 1; i <= count; i++) print found[i]
        }'
}

# hear: keeps what it said for `named`, and in no file, which a full disk would cut off.
hear() { what_was_said=$(said); }

# named KIND: what it named of a kind.
named() { printf '%s\n' "$what_was_said" | sed -n "s/^$1 //p"; }

# because: why it failed, in its own words, behind a sentence; nothing where it said nothing of that. Of errors the last one, since what other
# programs say goes on.
because() {
    said | awk '
        $1 == "activation" && /snippet/ { snippets = 1 }
        $1 == "activation" { sub(/^[a-z]+ /, ""); words[++count] = $0 }
        $1 == "error" { sub(/^[a-z]+ /, ""); error = $0 }
        $1 == "last" { sub(/^[a-z]+ /, ""); last = "it came no further than " $0 }
        $1 == "check" { sub(/^check /, ""); words[++count] = "pre-switch check \047" $0 "\047 failed" }
        END {
            if (error != "") words[++count] = error
            else if (!count && last != "") words[++count] = last
            for (i = 1; i <= count; i++)
                if (!(snippets && words[i] ~ /^Failed to run activate script/) && shown < 3) printf "%s%s", shown++ ? "; " : ": ", substr(words[i], 1, 200)
        }'
}
