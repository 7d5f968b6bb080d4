# What is behind a `test` that exited 4: an activation that failed, or units and users that failed and may, or may not.
# facts: new_live allow
# needs: allowed base complain health lines log said switch
# sets: forgiven_failures
# shellcheck shell=sh

# activation_failed LEFT: whether `activate` has failed, after a `test` that exited 4: by what was said, and where that may not be all, by
# activate itself, for which LEFT seconds are left. In $activation_failure what is to be said of it.
activation_failed() {
    activation_failure=$(because)
    [ -z "$(named activation)" ] || return 0
    # The wrapper of the Rust form, which says so whenever activate fails. The Perl form says nothing of one that was killed or has exited early.
    ! grep -q TOPLEVEL "$new_live/bin/switch-to-configuration" || [ ! -e "$log_file.whole" ] || return 1
    activate_once_more "$1"
}

# activate_once_more LEFT: the steps whose failure the Perl form hides behind 4. They are made to be run again and again: at each boot and each
# switch. What the first run asked switch-to-configuration to restart is done; the second one's wishes would wait for the next switch.
activate_once_more() {
    local asked list
    asked=
    for list in activation-restart-list activation-reload-list; do [ -e "/run/nixos/$list" ] || asked="$asked /run/nixos/$list"; done
    if [ -e "$new_live/activate" ]; then
        echo "--- activate of $new_live, to see whether it fails" >&7
        NIXOS_ACTION="test"
        export NIXOS_ACTION
        logged "$1" "$new_live/activate" "$new_live"
        unset NIXOS_ACTION
        # shellcheck disable=SC2086 # words
        [ -z "$asked" ] || rm -f $asked
        [ "$status" = 0 ] || {
            log_line "it exited $status"
            reap_logged
            activation_failure=": activate, run once more, $(ended "$status" "$1")"
            return 0
        }
    fi
    sc daemon-reload || {
        activation_failure=": systemd could not read the units of the new system"
        return 0
    }
    [ -n "$(said_of_tmpfiles)" ] && [ -x "$new_live/systemd/bin/systemd-tmpfiles" ] || return 1
    logged "$1" "$new_live/systemd/bin/systemd-tmpfiles" --create --exclude-prefix=/dev
    [ "$status" != 0 ] || return 1
    activation_failure=": systemd-tmpfiles $(ended "$status" "$1")"
}

# said_of_tmpfiles: only the Perl form runs it by itself.
said_of_tmpfiles() { { cat "$log_file.reasons" 2>/dev/null; whole_log; } | grep '^setting up tmpfiles'; }

# failures_are_forgiven: after healthy, whether all that failed while the system was activated may fail; complains where not. It need not be in
# the list of failed units any more: a service is up again, one that could not be reloaded runs on. In $forgiven_failures what to say of it.
failures_are_forgiven() {
    local targets users
    users=$(named user | paste -s -d ' ' -)
    named unit >"$dir/named" && awk '$2 == "forgiven" { print $1 }' "$dir/restarting" >"$dir/forgiven" &&
        not_forgiven <"$dir/named" | lines_without "$dir/forgiven" >"$dir/blamed.all" || { complain cannot-record "could not write $dir/blamed.all"; return; }
    # A target fails with a unit that it needs, and never by itself.
    targets=count
    if [ -s "$dir/failed.all" ] || grep -q -v '\.target$' "$dir/named"; then targets=; fi
    awk -v targets="$targets" 'targets || !/\.target$/' "$dir/blamed.all" >"$dir/blamed" || { complain cannot-record "could not write $dir/blamed"; return; }
    if [ -s "$dir/blamed" ]; then
        cat "$dir/blamed" >"$dir/failed"
        complain units-failed "units failed while the system was activated: $(paste -s -d ' ' "$dir/blamed"). \
Name those that may fail (deploy_flake_ignore_units)"
    elif [ -n "$users" ] && ! allowed user_failures; then
        complain units-failed "the units of users who are logged in failed while the system was activated: $users$(named detail | head -n 3 | cut -b 1-200 | awk '{ printf "%s%s", (NR > 1 ? "; " : " ("), $0 } END { if (NR) printf ")" }'). \
Allow 'user_failures' (deploy_flake_allow) where that is nothing of the host's"
    elif [ ! -s "$dir/named" ] && [ -z "$users" ] && [ ! -s "$dir/failed.all" ]; then
        complain units-failed "units failed to start while the system was activated (exit 4), though none is failed now"
    else
        forgiven_failures=$(named unit | paste -s -d ' ' -)
        forgiven_failures="$forgiven_failures${users:+${forgiven_failures:+, and }the units of $users}"
        [ -e "$log_file.whole" ] || forgiven_failures="${forgiven_failures:-units} (not all that switch-to-configuration printed could be kept)"
    fi
}
