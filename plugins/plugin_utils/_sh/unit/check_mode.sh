# Finds out what a deployment would do, by the supervisor's own steps up to where it would begin to change the host, and by
# dry-activate. Before it: the settings of the deployment, new, new_live and dir (goes with the unit); it answers on standard output.
# inputs: activate_limit
# facts: new new_live dir
# needs: base check_before_switch complain health log reports_to_answer switch
# shellcheck shell=sh

check() {
    local failed
    open_log log
    ready || {
        while read -r failed; do answer failed_unit "$failed"; done <"$dir/failed"
        stop_unchanged "$code" "$complaint"
    }
    # A file of the new system that may do anything; it is run where the system is really to be activated.
    [ -z "$pre_activate_script" ] || [ ! -x "$new_live/$pre_activate_script" ] || note "$pre_activate_script of the new system is not run in check mode"
    pre_activate_script=
    check_before_switch
    [ "$mode" = boot ] || dry_activate
}

dry_activate() {
    # A log of its own: what the checks have said is not about units.
    open_log dry-activation
    switch_to "$activate_limit" "$new_live" dry-activate :
    log_line "that was it"
    answer dry_activation "$(whole_log)"
    case $switch_status in
    0) ;;
    100) needs_reboot status-100 "switch-to-configuration dry-activate exited 100" ;;
    *) why unclear "switch-to-configuration dry-activate $(ended "$switch_status" "$activate_limit")" ;;
    esac
}

# All of the answer at once, so that it is whole or not there.
main() {
    cd "$dir" || exit 1
    (check) >answer
    cat answer
    answer said "$(cat log.before log dry-activation.before dry-activation 2>/dev/null | tail -c 16384 | tail -n 30)"
    answer checked yes
}

main </dev/null
exit
