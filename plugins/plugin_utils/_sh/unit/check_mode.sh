# Finds out what a deployment would do, by the supervisor's own steps up to where it would begin to change the host, and by
# dry-activate. Before it: the settings of the deployment, new, new_live, id, and dir (goes with the unit); it answers on standard output.
# only_secrets: whether the host keeps its system; then they are tried live, whatever was asked for.
# inputs: activate_limit brings_secrets
# facts: new new_live id dir only_secrets mode
# needs: base check_before_switch complain health log reports_to_answer secrets_ahead staged_secrets switch
# shellcheck shell=sh

check() {
    local failed
    open_log log
    [ "$brings_secrets" = no ] || still_compared || {
        answer send_secrets yes
        refuse "$code" "$complaint"
    }
    can_record || stop_unchanged cannot-record "could not write in $var_dir (is the disk full?)"
    ready || secrets_mend_that || {
        while read -r failed; do answer failed_unit "$failed"; done <"$dir/failed"
        stop_unchanged "$code" "$complaint"
    }
    secrets_have_units || stop_unchanged "$code" "$complaint"
    tell_units_of_secrets
    # Nothing is activated, and no check of the system asked.
    [ "$only_secrets" = no ] || return 0
    # A file of the new system that may do anything; it is run where the system is really to be activated.
    [ -z "$pre_activate_script" ] || [ ! -x "$new_live/$pre_activate_script" ] || note "$pre_activate_script of the new system is not run in check mode"
    pre_activate_script=
    check_before_switch
    [ "$mode" = boot ] || dry_activate
    [ "$mode" = test ] || secrets_outlast_boot || stop_unchanged "$code" "$complaint"
}

# can_record: a deployment begins with that.
can_record() {
    local probe
    probe=$var_dir/check-mode
    [ ! -d "$var_dir" ] || { head -c 16384 /dev/zero >"$probe" && rm -f "$probe"; } 2>/dev/null || {
        rm -f "$probe"
        return 1
    }
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
