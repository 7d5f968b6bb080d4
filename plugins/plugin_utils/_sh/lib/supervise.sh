# The supervisor: moves the host from one system to another, or stops early, and then its ExecStopPost undoes.
# inputs: activate_limit check_limit confirm_limit secrets_limit over_ssh mode only_secrets post_activate_script until_reboot
# needs: activation base boot_loader check_before_switch commit complain deployed_secrets directory ended expected_system health hook lasting_unit live log
# needs: process record repair reports_to_directory secrets_ahead settle_trial soft_reboot ssh switch_live tested_boot_default tools_work wait_for_line
# needs: watch_units whose booted
# shellcheck shell=sh

supervise() {
    local asked_for
    trap 'why stopped "the supervisor was told to stop ($(read_line "$dir/state"; echo "$line"))"; end_child; exit 143' TERM
    # From here on it ends where its state cannot be written.
    may_die=yes
    state checking
    open_log log
    repair_others || stop_unchanged unfinished "another deployment on this host is unfinished and could not be repaired: $(cat "$dir/notes")"
    settle_trial || stop_unchanged trial-in-progress "another system is being booted once to try it, since $trial_started: $trial_new"
    printf '%s\n' "$id" >"$run_dir/current.$id" && mv -f "$run_dir/current.$id" "$run_dir/current"
    note_facts || stop_unchanged cannot-record "could not note the state of the host in $dir"
    [ "$only_secrets" != yes ] || [ "$previous_live" = "$new_live" ] || stop_unchanged superseded "somebody else has switched the host meanwhile"
    as_expected "$previous_boot" || stop_unchanged "$code" "the host $complaint"
    # What boots already, stays.
    [ "$previous_boot" != "$new" ] || until_reboot=no
    # Before anything is tried; the commit looks again.
    [ "$until_reboot" != yes ] || loader_names "$previous_boot" || [ "$?" = 2 ] ||
        stop_unchanged boot-loader "the host's next reboot would not lead to its boot default, $previous_boot: ${loader_why-}; deploy that one again without until_reboot, which writes the boot loader anew"
    # After a power loss it is clear who did that: the loader had started what was about to be committed.
    [ "$only_secrets" = yes ] || tested_boot_default "$previous_live" "$previous_boot" ||
        { [ "${repaired-}" = yes ] && note "the host runs $previous_live, but would boot $previous_boot"; } || stop_unchanged "$code" "the host $complaint"
    open_durably || stop_unchanged cannot-record "could not write $var_dir/open.json or the garbage collector roots in $roots (is the disk full?)"
    start_guard && guard_runs && outlast_soft_reboot || stop_unchanged no-guard "could not start $guard_unit, or write $generator"
    ready || secrets_mend_that || stop_unchanged "$code" "$complaint"
    asked_for=$mode
    [ "$only_secrets" = yes ] || check_before_switch
    with_secrets prepare "$secrets_limit" && secrets_have_units || stop_unchanged "$code" "$complaint"
    # Somebody may have stopped it meanwhile.
    guard_runs || stop_unchanged no-guard "$guard_unit does not run any more"
    [ "$mode" = boot ] || try_live
    [ "$mode" = test ] || secrets_outlast_boot || stop_unchanged "$code" "$complaint"
    if [ "$asked_for" = test ]; then wait_for_confirmation; else state confirmed; fi
    commit
}

# Its directory is gone when it is started again after the end: then there is nothing to do. The shell that it will be looks
# itself, since a condition of the unit is one process more for systemd.
# shellcheck disable=SC2086 # the interpreter and the properties are words
start_guard() {
    timeout -k 5 30 systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$guard_unit" \
        --description="undoes deployment $id if its supervisor is gone" $lasting \
        -p Restart=on-failure -p RestartSec=200ms -p StartLimitIntervalSec=0 -p TimeoutStopSec=30 \
        $interpreter -c "[ ! -e $dir/program ] || exec $interpreter $dir/program guard $dir"
}

# guard_runs: it says so itself, with the id of a process that its unit has. One that was killed is started again in a moment.
guard_runs() {
    local tries
    tries=0
    read_line "$dir/guard"
    guard_process=$line
    until [ -n "$guard_process" ] && guard_process_there; do
        tries=$((tries + 1))
        [ "$tries" -le 100 ] || return 1
        # On most hosts that takes it some hundredths of a second.
        if [ "$tries" -le 5 ]; then pause 0.02; else pause 0.1; fi
        read_line "$dir/guard"
        guard_process=$line
    done
}

guard_process_there() { is_in_cgroup "$guard_process" "${cgroup%/*}/$guard_unit"; }

try_live() {
    local began test_status
    state activating
    clock
    began=$uptime
    # Of earlier failures the report says nothing.
    printf '%s %s\n' "$began" "$(date +%s)" >"$dir/began"
    # Before the call is noted: from then on their switch to this very system could not be told from ours.
    nobody_else_has_switched || give_up superseded "somebody else has switched the host meanwhile"
    # Whatever is started from here on reads the new ones.
    with_secrets place "$secrets_limit" || give_up "$code" "$complaint"
    test_status=0
    [ "$only_secrets" = yes ] || switch_live
    [ "$test_status" != 100 ] || return 0
    with_secrets restart 120 || give_up "$code" "$complaint"
    note_restarts "$dir/restarts" || give_up "$code" "$complaint"
    state settling
    watch_units
    healthy || give_up "$code" "$complaint"
    [ "$test_status" != 4 ] || failures_are_forgiven || give_up "$code" "$complaint"
    [ -z "${forgiven_failures-}" ] || note "failed while the system was activated, as it may: $forgiven_failures"
    [ "$only_secrets" = yes ] || [ -s "$dir/made" ] || live_is_theirs || give_up not-live "switch-to-configuration test exited $test_status, and yet /run/current-system is not the new system"
    # What it breaks is found by the looks that come after it, the last of them before the commit.
    [ "$only_secrets" = yes ] || hook "$post_activate_script" ||
        give_up post-activate-script "$post_activate_script of the new system $(ended "$status" "$check_limit"): $(words_of_hook)"
    may_commit || give_up superseded "somebody else has switched the host meanwhile"
    (tools_of "$new_live" && PATH=$tools && tools_work) || give_up broken-tool "the new system's timeout or readlink does not do its work"
    # Nobody confirms what is not in place.
    with_secrets verify "$secrets_limit" || give_up "$code" "$complaint"
    if [ "$over_ssh" = yes ]; then still_reachable || give_up "$code" "$complaint"; fi
    [ "$until_reboot" != yes ] || [ -z "$(other_parts "$new_live")" ] || note "its kernel, or what goes with that, is not tried: only a reboot would bring it"
}

# nobody_else_has_switched: the look before the new system is activated; also before it is once more.
nobody_else_has_switched() { ! live_is_theirs && ! boot_is_theirs; }

# The window can be extended once, when a whole fleet is ready to commit.
extension() { if [ -e "$dir/extended" ]; then extended=$confirm_limit; else extended=0; fi; }

# The window is a file: confirm, time-out and revoke are renames of it, and only one of them can win. That is looked at again
# and again; whoever renames it says so beside that, only so that nobody waits for the next look.
wait_for_confirmation() {
    clock
    printf '%s\n' "$((uptime + confirm_limit))" >"$dir/window.new" && mv -f "$dir/window.new" "$dir/window" || exit 1
    state window
    while [ -e "$dir/window" ]; do
        read_line "$dir/window"
        clock
        extension
        # One that cannot be read has expired.
        case $line in '' | *[!0-9]*) line=0 ;; esac
        if [ "$uptime" -ge $((line + extended)) ]; then mv "$dir/window" "$dir/expired" 2>/dev/null; fi
        [ ! -e "$dir/window" ] || wait_for_line 1 "$dir/states" decided || pause 0.2
    done
    if [ -e "$dir/confirmed" ]; then
        state confirmed
    elif [ -e "$dir/revoked" ]; then
        give_up revoked "revoked: $(cat "$dir/revoked.why" 2>/dev/null)"
    else
        give_up not-confirmed "nobody confirmed the new $([ "$only_secrets" = yes ] && echo secrets || echo system) within $confirm_limit s"
    fi
}
