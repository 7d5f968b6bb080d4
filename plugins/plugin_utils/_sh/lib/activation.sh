# What is behind a `test` that exited 4: an activation that failed, or units and users that failed and may, or may not. After `hear`.
# facts: new_live allow
# needs: allowed base complain health log said switch units calls
# sets: forgiven_failures
# shellcheck shell=sh

# activation_failed UNTIL LOOK: whether `activate` has failed, after a `test` that exited 4: by what was said, and where that may not be all, by
# activate itself, which has until then, as long as the host is ours to switch by LOOK. In $activation_failure what is to be said of it.
activation_failed() {
    local words
    activation_failure=$(because)
    words=
    # What systemctl says, the Perl form lets it say; the Rust form asks systemd itself, and then a snippet has said it, which may put up with it.
    ! is_rust_form || words='^Failed to run activate script|^Activation script snippet'
    ! named activation | grep -q -E -e "$words" || return 0
    # Its last step makes the new system live. Run again it would pass, and yet units were started from what it had not made.
    identity /run/current-system
    read_line "$dir/our-live"
    [ "$identity" != "$line" ] || {
        activation_failure=": activate ended before it made the new system live$activation_failure"
        return 0
    }
    # The wrapper of the Rust form, which says so whenever activate fails. The Perl form says nothing of one that was killed or has exited early,
    # and of other programs nobody knows.
    ! is_rust_form || [ ! -e "$log_file.whole" ] || [ -z "$(named form)" ] || return 1
    activate_once_more "$1" "$2"
}

is_rust_form() { grep -q TOPLEVEL "$new_live/bin/switch-to-configuration" 2>/dev/null; }

# time_left UNTIL: in $seconds.
time_left() {
    clock
    seconds=$(($1 - uptime))
    [ "$seconds" -ge 20 ] || seconds=20
}

# activate_once_more UNTIL LOOK: the steps whose failure the Perl form hides behind 4. They are made to be run again and again: at each boot and each
# switch. What the first run asked switch-to-configuration to restart is done; the second one's wishes would wait for the next switch. Nobody
# else switches meanwhile: it holds their lock, and what it starts does not.
activate_once_more() {
    local asked list look seconds until
    until=$1
    look=$2
    asked=
    for list in activation-restart-list activation-reload-list; do [ -e "/run/nixos/$list" ] || asked="$asked /run/nixos/$list"; done
    if [ -e "$new_live/activate" ]; then
        log_mark "activate of $new_live, to see whether it fails"
        time_left "$until"
        # Earlier releases have none.
        set --
        [ ! -e "$switch_lock" ] || set -- flock -n -o -E 11 "$switch_lock"
        while :; do
            "$look" || { activation_failure=": activate could not be run once more, since somebody else has switched the host" && return 0; }
            NIXOS_ACTION="test"
            export NIXOS_ACTION
            logged "$seconds" "$@" "$new_live/activate" "$new_live"
            unset NIXOS_ACTION
            # Whoever holds the lock may switch nothing in the end.
            [ "$status" = 11 ] && lock_held && clock && [ "$uptime" -lt "$until" ] || break
            pause 1
        done
        # shellcheck disable=SC2086 # words
        [ -z "$asked" ] || rm -f $asked
        [ "$status" = 0 ] || {
            log_line "it exited $status"
            reap_logged
            activation_failure=": activate, run once more, $(ended "$status" "$seconds")"
            [ "$status" != 11 ] || ! lock_held || activation_failure=": activate could not be run once more, since somebody else switches the host"
            return 0
        }
    fi
    sc daemon-reload || {
        activation_failure=": systemd could not read the units of the new system"
        return 0
    }
    [ -n "$(said_of_tmpfiles)" ] && [ -x "$new_live/systemd/bin/systemd-tmpfiles" ] || return 1
    time_left "$until"
    logged "$seconds" "$new_live/systemd/bin/systemd-tmpfiles" --create --exclude-prefix=/dev
    [ "$status" != 0 ] || return 1
    activation_failure=": systemd-tmpfiles $(ended "$status" "$seconds")"
}

# said_of_tmpfiles: only the Perl form runs it by itself.
said_of_tmpfiles() { { cat "$log_file.reasons" 2>/dev/null; whole_log; } | grep 'setting up tmpfiles$'; }

# failures_are_forgiven: after healthy, whether all that failed while the system was activated may fail; complains where not. It need not be in
# the list of failed units any more: a service is up again, one that could not be reloaded runs on. In $forgiven_failures what to say of it. No list
# goes through a file, since of one that a full disk cuts off all would be forgiven.
failures_are_forgiven() {
    local blamed units unnamed users
    users=$(named user | paste -s -d ' ' -)
    units=$(named unit)
    unnamed=$(named other | shown_of)
    blamed=$(named unit | not_forgiven | not_restarted_as_before | not_by_another) || {
        complain cannot-record "could not compare what failed with what may fail"
        return
    }
    if [ -n "$blamed" ]; then
        printf '%s\n' "$blamed" >"$dir/failed"
        complain units-failed "units failed while the system was activated: $(printf '%s\n' "$blamed" | paste -s -d ' ' -). \
Name those that may fail (deploy_flake_ignore_units)"
    elif [ -n "$unnamed" ]; then
        complain units-failed "switch-to-configuration test exited 4, and not for a unit alone$unnamed"
    elif [ -n "$users" ] && ! allowed user_failures; then
        complain units-failed "the units of users who are logged in failed while the system was activated: $users$(named detail | shown_of). \
Allow 'user_failures' (deploy_flake_allow) where that is nothing of the host's"
    elif [ -z "$units$users" ] && [ ! -s "$dir/failed.all" ]; then
        complain units-failed "units failed to start while the system was activated (exit 4), though none is failed now"
    elif [ -z "$units$users" ] && [ -e "$log_file.whole" ] && { [ -n "$(named form)" ] || is_rust_form; }; then
        complain units-failed "switch-to-configuration test exited 4, and named nothing that has failed"
    else
        forgiven_failures=$(named unit | paste -s -d ' ' -)
        forgiven_failures="$forgiven_failures${users:+${forgiven_failures:+, and }the units of $users}"
        [ -n "$forgiven_failures" ] || forgiven_failures="units that switch-to-configuration does not name"
        [ -e "$log_file.whole" ] || forgiven_failures="$forgiven_failures (not all that switch-to-configuration printed could be kept)"
    fi
}

# shown_of: of a list the beginning, in parentheses; nothing where it is empty.
shown_of() { head -n 3 | cut -b 1-200 | awk '{ printf "%s%s", (NR > 1 ? "; " : " ("), $0 } END { if (NR) printf ")" }'; }

# not_restarted_as_before: filters a list of units by those that systemd starts again and again, and did before.
not_restarted_as_before() {
    awk -v list="$dir/restarting" '
        BEGIN {
            while ((getline one <list) > 0) {
                split(one, word)
                if (word[2] == "forgiven") listed[word[1]]
            }
        }
        !($0 in listed)'
}

# not_by_another: filters a list of units by targets that failed with what they require, which counts by itself.
not_by_another() {
    local one
    while read -r one; do
        case $one in *.target) ! failed_with_another "$one" || continue ;; esac
        printf '%s\n' "$one"
    done
}

# failed_with_another TARGET: whether a unit has failed that it requires, or that one requires which it requires; and nothing else is said of it.
failed_with_another() {
    local found known
    ! named itself | grep -q -F -x -e "$1" || return 1
    found=$1
    known=
    while [ "$found" != "$known" ]; do
        known=$found
        # shellcheck disable=SC2086 # names of units
        ask_systemd show -p Requires -p Requisite -p BindsTo --value -- $known || return 1
        # One with a backslash in its name is quoted.
        found=$({ printf '%s\n' "$told" | tr ' ' '\n' | sed -e 's/"//g' -e 's/\\\\/\\/g' && printf '%s\n' "$known"; } | grep . | sort -u)
    done
    { named unit && cat "$dir/failed.all"; } | grep -v '\.target$' | grep -q -F -x -e "$found"
}
