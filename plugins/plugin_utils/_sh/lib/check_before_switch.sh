# What is checked before anything is activated. Its reports go where the program wants them: reports_to_directory or
# reports_to_answer.
# inputs: check_limit pre_activate_script mode
# needs: log switch
# shellcheck shell=sh

check_before_switch() {
    if [ -n "$pre_activate_script" ] && [ -x "$new_live/$pre_activate_script" ]; then
        logged "$check_limit" "$new_live/$pre_activate_script" ||
            stop_unchanged pre-activate-script "$pre_activate_script of the new system exited $status: activation would not be safe"
    fi
    # Releases before the variable print their usage for `check`, and exit 1 as a failed check does.
    grep -q PRE_SWITCH_CHECK "$new_live/bin/switch-to-configuration" || return 0
    switch_to "$check_limit" "$new_live" check :
    case $switch_status in
    0) ;;
    100) needs_reboot status-100 "switch-to-configuration check exited 100" ;;
    11) stop_unchanged switch-locked "switch-to-configuration check could not run (exit 11)$(! lock_held || echo ": another one holds its lock")" ;;
    *)
        inhibited && needs_reboot switch-inhibitor "it changes what its switch inhibitors name" ||
            stop_unchanged pre-switch-checks "the pre-switch checks of the new system failed: switch-to-configuration check $(ended "$switch_status" "$check_limit")"
        ;;
    esac
}

# Whether a switch inhibitor may be why a check failed: programs that must not be exchanged under a running system.
inhibited() {
    local running
    [ "$mode" = test ] && [ -e "$new_live/switch-inhibitors" ] || return 1
    for running in /run/booted-system /run/current-system; do
        [ ! -e "$running/switch-inhibitors" ] || cmp -s "$running/switch-inhibitors" "$new_live/switch-inhibitors" || return 0
    done
    return 1
}
