# What is checked before anything is activated. Its reports go where the program wants them: reports_to_directory or
# reports_to_answer.
# inputs: check_limit pre_activate_script mode
# facts: new new_live
# needs: hook process said switch
# shellcheck shell=sh

check_before_switch() {
    hook "$pre_activate_script" || stop_unchanged pre-activate-script "$pre_activate_script of the new system exited $status: activation would not be safe"
    # Releases before the variable print their usage for `check`, and exit 1 as a failed check does.
    grep -q PRE_SWITCH_CHECK "$new_live/bin/switch-to-configuration" || return 0
    switch_to "$check_limit" "$new_live" check :
    case $switch_status in
    0) ;;
    100) needs_reboot status-100 "switch-to-configuration check exited 100" ;;
    11) could_not_run check ;;
    *)
        if inhibited; then
            # They are about a switch alone.
            [ "$mode" = boot ] || needs_reboot switch-inhibitor "it changes what its switch inhibitors name$inhibitors"
            look_at_other_checks
        else
            checks_failed check
        fi
        ;;
    esac
}

# could_not_run ACTION
could_not_run() { stop_unchanged switch-locked "switch-to-configuration $1 could not run (exit 11)$(! lock_held || echo ": another one holds its lock")"; }

# checks_failed ACTION
checks_failed() {
    stop_unchanged pre-switch-checks "the pre-switch checks of the new system failed: switch-to-configuration $1 $(ended "$switch_status" "$check_limit")$(because)"
}

# inhibited: whether switch inhibitors are why the checks failed: programs that must not be exchanged under a running system. In $inhibitors which.
inhibited() {
    local failed
    inhibitors=$(changed_inhibitors)
    inhibitors=${inhibitors:+: $inhibitors}
    # It ends with the first check that fails, and names it.
    failed=$(said | sed -n 's/^check //p')
    case $failed in
    switchInhibitors) return 0 ;;
    '') [ -n "$inhibitors" ] && ! out_of_time "$switch_status" ;;
    *) return 1 ;;
    esac
}

# changed_inhibitors: as NixOS does: what both systems name, and not as the same, against the system that runs. Each file is an object of strings.
changed_inhibitors() {
    local running
    running=/run/current-system/switch-inhibitors
    [ -e "$running" ] && [ -e "$new_live/switch-inhibitors" ] || return 0
    { cat "$running" && echo && echo "==" && cat "$new_live/switch-inhibitors"; } | awk '
        $0 == "==" { new = 1; next }
        {
            while (match($0, /"([^"\\]|\\.)*"[ \t]*:[ \t]*"([^"\\]|\\.)*"/)) {
                pair = substr($0, RSTART + 1, RLENGTH - 2)
                $0 = substr($0, RSTART + RLENGTH)
                match(pair, /"[ \t]*:[ \t]*"/)
                name = substr(pair, 1, RSTART - 1)
                value = substr(pair, RSTART + RLENGTH)
                if (!new) old[name] = value
                else if (name in old && old[name] != value) printf "%s%s", count++ ? ", " : "", name
            }
        }'
}

# look_at_other_checks: those behind the one that failed were not run, and would fail when the boot loader is written. `dry-activate` changes
# nothing, and leaves out the inhibitors as `boot` does.
look_at_other_checks() {
    switch_to "$check_limit" "$new" dry-activate :
    case $switch_status in
    0 | 100) ;;
    11) could_not_run dry-activate ;;
    *)
        # Earlier releases leave them out for `boot` alone.
        [ "$(said | sed -n 's/^check //p')" = switchInhibitors ] || checks_failed dry-activate
        ;;
    esac
}
