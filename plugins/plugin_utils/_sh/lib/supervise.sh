# The supervisor: moves the host from one system to another, or stops early, and then its ExecStopPost undoes.
# needs: common process record directory health commit ssh trial repair
# shellcheck shell=sh

supervise() {
    trap 'why "the supervisor was told to stop ($(read_line "$dir/state"; echo "$line"))"; end_child; exit 143' TERM
    state checking
    repair_others || stop_unchanged "another deployment on this host is unfinished and could not be repaired: $(cat "$dir/notes")"
    settle_trial || stop_unchanged "another system is being booted once to try it, since $trial_started: $trial_new"
    printf '%s\n' "$id" >"$run_dir/current.$$" && mv -f "$run_dir/current.$$" "$run_dir/current"
    note_facts || stop_unchanged "could not note the state of the host in $dir"
    # After a power loss it is clear who did that: the loader had started what was about to be committed.
    complaint=$(tested_boot_default "$previous_live" "$previous_boot") ||
        { [ "${repaired-}" = yes ] && note "the host runs $previous_live, but would boot $previous_boot"; } || stop_unchanged "the host $complaint"
    open_durably || stop_unchanged "could not write $var_dir/open.json or the garbage collector roots in $roots (is the disk full?)"
    start_guard || stop_unchanged "could not start $guard_unit"
    complaint=$(ready) || stop_unchanged "$complaint"
    asked_for=$mode
    check_before_switch
    [ "$mode" = boot ] || try_live
    if [ "$asked_for" = test ]; then wait_for_confirmation; else state confirmed; fi
    commit
}

# Its directory is gone when it is started again after the end: then there is nothing to do. The shell that it will be looks
# itself, since a condition of the unit is one process more for systemd.
# shellcheck disable=SC2086 # the interpreter may be two words
start_guard() {
    timeout -k 5 30 systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$guard_unit" \
        --description="undoes deployment $id if its supervisor is gone" \
        -p Restart=on-failure -p RestartSec=200ms -p StartLimitIntervalSec=0 -p IgnoreOnIsolate=yes \
        -p OOMPolicy=continue -p OOMScoreAdjust=-900 -p ManagedOOMPreference=omit \
        -p WorkingDirectory=/ -p UMask=0077 -p TimeoutStopSec=30 \
        $interpreter -c "[ ! -e $dir/program ] || exec $interpreter $dir/program guard $dir"
}

# stop_unchanged WHY: before anything was activated.
stop_unchanged() {
    why "$1"
    unit_journals <"$dir/failed" >"$dir/journal" 2>/dev/null
    finish refused
    exit 0
}

# give_up WHY: after it. The undo follows as ExecStopPost.
give_up() {
    why "$1"
    [ ! -s "$dir/failed" ] || unit_journals <"$dir/failed" >"$dir/journal"
    exit 1
}

check_before_switch() {
    if [ -n "$pre_activate_script" ] && [ -x "$new_live/$pre_activate_script" ]; then
        limited "$check_limit" "$new_live/$pre_activate_script" >>"$dir/log" 2>&1 </dev/null ||
            stop_unchanged "$pre_activate_script of the new system exited $status: activation would not be safe"
    fi
    # Releases before the variable print their usage for `check`, and exit 1 as a failed check does.
    grep -q PRE_SWITCH_CHECK "$new_live/bin/switch-to-configuration" || return 0
    switch_to "$check_limit" "$new_live" check
    case $stc in
    0) ;;
    100) needs_reboot "switch-to-configuration check exited 100" ;;
    11) stop_unchanged "switch-to-configuration check could not run (exit 11)$(! lock_held || echo ": another one holds its lock")" ;;
    *)
        inhibited && needs_reboot "it changes what its switch inhibitors name" ||
            stop_unchanged "the pre-switch checks of the new system failed: switch-to-configuration check $(ended "$stc" "$check_limit")"
        ;;
    esac
}

# Whether a switch inhibitor may be why a check failed: programs that must not be exchanged under a running system.
inhibited() {
    [ "$mode" = test ] && [ -e "$new_live/switch-inhibitors" ] || return 1
    for running in /run/booted-system /run/current-system; do
        [ ! -e "$running/switch-inhibitors" ] || cmp -s "$running/switch-inhibitors" "$new_live/switch-inhibitors" || return 0
    done
    return 1
}

# needs_reboot WHY: nothing was activated. The operator has chosen whether that is an end, or the system becomes the boot
# default without a test. A confirmation is waited for all the same.
needs_reboot() {
    [ "$mode" = boot ] || [ "$on_reboot_required" != fail ] || stop_unchanged "the new system needs a reboot, and nothing was activated: $1"
    note "the new system needs a reboot, so it was not tested: $1"
    [ "$new_live" = "$new" ] || note "after the reboot it runs without its specialisation $specialisation, unless that is chosen in the boot menu"
    printf 'boot\n' >"$dir/mode.new" && mv -f "$dir/mode.new" "$dir/mode"
    mode=boot
}

ended() {
    if out_of_time "$1"; then echo "did not end within $2 s"; else echo "exited $1"; fi
}

try_live() {
    state activating
    # Our own limit counts from the first byte of `test`.
    switch_to "$activate_limit" "$new_live" test
    test_status=$stc
    case $test_status in
    0 | 4) ;;
    100)
        needs_reboot "switch-to-configuration test exited 100"
        return
        ;;
    *)
        failed_units >"$dir/failed"
        give_up "switch-to-configuration test $(ended "$test_status" "$activate_limit")"
        ;;
    esac
    state settling
    [ "$settle_limit" = 0 ] || pause "$settle_limit"
    complaint=$(healthy) || give_up "$complaint"
    [ "$(readlink -f /run/current-system)" = "$new_live" ] || give_up "switch-to-configuration test exited $test_status, and yet /run/current-system is not the new system"
    (PATH=$new_live/sw/bin:$PATH && tools_work) || give_up "the new system's timeout or readlink does not do its work"
    if [ "$over_ssh" = yes ]; then complaint=$(still_reachable) || give_up "$complaint"; fi
}

# The window can be extended once, when a whole fleet is ready to commit.
extension() { if [ -e "$dir/extended" ]; then extended=$confirm_limit; else extended=0; fi; }

# The window is a file: confirm, time-out and revoke are renames of it, and only one of them can win. That is looked at again
# and again; whoever renames it says so beside that, only so that nobody waits for the next look.
wait_for_confirmation() {
    clock
    printf '%s\n' "$((uptime + confirm_limit))" >"$dir/window.new"
    mv -f "$dir/window.new" "$dir/window"
    state window
    while [ -e "$dir/window" ]; do
        read_line "$dir/window"
        clock
        extension
        if [ -n "$line" ] && [ "$uptime" -ge $((line + extended)) ]; then mv "$dir/window" "$dir/expired" 2>/dev/null; fi
        [ ! -e "$dir/window" ] || wait_for_line 1 "$dir/states" decided || pause 0.2
    done
    if [ -e "$dir/confirmed" ]; then
        state confirmed
    elif [ -e "$dir/revoked" ]; then
        give_up "revoked: $(cat "$dir/revoked.why" 2>/dev/null)"
    else
        give_up "nobody confirmed the new system within $confirm_limit s"
    fi
}
