# The undo: entered by ExecStopPost of the supervisor or by the guard, one at a time, and as often as it takes.
# inputs: last_resort_reboot rollback_limit over_ssh mode
# needs: base commit complain directory journal own_unit process profile record reports_to_directory states switch tools units
# shellcheck shell=sh

# undo: 0 when the deployment has a final state, 75 when another undo is in progress.
undo() {
    read_line "$dir/state"
    phase=$line
    if is_final "$phase"; then
        clean_up
        return 0
    fi
    # Held by this process alone, and let go by its death; every command is started without it.
    exec 9>"$dir/undoing"
    flock -n 9 || return 75
    trap '' HUP INT
    trap 'end_child; exit 143' TERM
    # An undo that died half way leaves `rolling-back`: the phase that counts is the one before.
    if [ "$phase" = rolling-back ]; then
        read_line "$dir/phase"
        phase=$line
    else
        printf '%s\n' "$phase" >"$dir/phase.new" && mv -f "$dir/phase.new" "$dir/phase"
    fi
    if [ "$facts" = no ] || [ "$phase" = checking ] || [ -z "$phase" ]; then
        why stopped "the supervisor ended before anything was activated"
        if [ "$facts" = yes ]; then
            holds_unit && kill_others "$cgroup"
        fi
        end_as refused
        return 0
    fi
    left=
    holds_unit && kill_others "$cgroup"
    free_switch_lock
    state rolling-back
    why stopped "the supervisor ended without a result while the deployment was $phase (${SERVICE_RESULT-killed})"
    if machine_stopping; then
        undo_at_shutdown
    elif somebody_else_switched; then
        note "somebody else switched the host meanwhile, so nothing was touched"
        [ "$live" != "$new_live" ] || [ "$mode" = boot ] || note "the host still runs the new system, which nobody has confirmed"
        end_as superseded
    else
        undo_fully
    fi
}

end_as() {
    finish "$1"
    clean_up
}

# Every holder was killed, and what hangs in the kernel holds the lock for ever.
free_switch_lock() {
    [ -n "$left" ] && lock_held || return 0
    rm -f /run/nixos/switch-to-configuration.lock
    note "processes $left hang in the kernel and cannot be killed: the host needs a reboot"
}

machine_stopping() {
    local manager
    manager=$(sc is-system-running 2>/dev/null)
    [ "$manager" = stopping ] || sc --quiet is-active rescue.target emergency.target
}

# somebody_else_switched: what runs is in $live.
somebody_else_switched() {
    local default
    live=$(readlink -f /run/current-system)
    default=$(boot_default)
    { [ "$live" != "$previous_live" ] && [ "$live" != "$new_live" ]; } || { [ "$default" != "$previous_boot" ] && [ "$default" != "$new" ]; }
}

# Whether the commit point was passed.
profile_moved() {
    case $phase in
    commit-profile) [ "$(boot_default)" = "$new" ] && [ "$(current_generation)" != "$previous_generation" ] ;;
    commit-boot | commit-verify) ;;
    *) return 1 ;;
    esac
}

# boot_side LIMIT: by the commit table; ends the deployment where it goes forward. 0: the boot side is as before.
boot_side() {
    case $phase in
    activating | settling | window | confirmed) return 0 ;;
    esac
    boot_back "$1"
}

go_forward() {
    profile_moved && [ ! -e "$dir/back" ] || return 1
    finish_commit && clean_up && return 0
    # Once; from here it rolls back, whoever dies.
    : >"$dir/back"
    return 1
}

# At shutdown every start would be refused: the boot side only, so that the machine comes up with the right system.
undo_at_shutdown() {
    commit_limit=20
    go_forward && return 0
    note "the host was shutting down"
    if boot_side 20; then end_as interrupted; else end_as commit-failed; fi
}

undo_fully() {
    local rung
    go_forward && return 0
    boot=kept
    boot_side "$commit_limit" || boot=broken
    if [ "$mode" = boot ]; then
        # Nothing was activated.
        if [ "$boot" = kept ]; then end_as rolled-back; else end_as commit-failed; fi
        return 0
    fi
    prune_lists
    rung=none
    for rung in test restart-bus by-hand reboot; do
        printf '%s\n' "$rung" >"$dir/rung"
        "rung_$(printf '%s' "$rung" | tr - _)"
        if verify_previous; then
            wake_logind
            break
        fi
        # A shutdown has begun meanwhile: nothing can be started any more, and the host comes up with what it boots.
        if machine_stopping; then
            rung=shutdown
            break
        fi
        rung=none
    done
    if [ "$boot" = broken ]; then
        [ "$rung" != none ] || note "the previous system could not be made live again: $complaint"
        end_as commit-failed
    elif [ "$rung" = shutdown ]; then
        note "the host was shutting down"
        end_as interrupted
    elif [ "$rung" = none ]; then
        note "the previous system could not be made live again: $complaint"
        failed_units >"$dir/failed"
        unit_journals <"$dir/failed" >"$dir/journal"
        end_as rollback-failed
    else
        end_as rolled-back
    fi
}

# An interrupted run leaves lists which the next one acts on, whatever its toplevel. Only units that the previous system
# has can be meant for it; the files also name units to bring back, so they stay.
prune_lists() {
    local list listed template
    for list in /run/nixos/*-list; do
        [ -f "$list" ] || continue
        while read -r listed; do
            template=$(printf '%s' "$listed" | sed 's/@[^.]*\./@./')
            if [ -e "$previous_live/etc/systemd/system/$listed" ] || [ -e "$previous_live/etc/systemd/system/$template" ] ||
                grep -q -F -x -e "$listed" "$dir/active"; then
                printf '%s\n' "$listed"
            fi
        done <"$list" >"$list.pruned"
        mv -f "$list.pruned" "$list"
    done
}

rung_test() {
    NIXOS_NO_CHECK=1
    export NIXOS_NO_CHECK
    switch_to "$rollback_limit" "$previous_live" test
}

rung_restart_bus() {
    local service
    for service in dbus.socket dbus.service systemd-logind.service; do
        sc reset-failed "$service" 2>/dev/null
        sc restart "$service" 2>/dev/null
    done
    rung_test
}

rung_by_hand() {
    local service
    limited "$rollback_limit" "$previous_live/activate" >>"$dir/log" 2>&1 </dev/null
    [ "$status" = 0 ] || reap
    sc daemon-reload
    sc reset-failed
    # The way in first.
    for service in $(grep -E '^(systemd-networkd|network|dhcpcd|NetworkManager|wpa_supplicant|sshd?)' "$dir/active") $(cat "$dir/active"); do
        sc --quiet is-active -- "$service" || sc start --no-block -- "$service" 2>/dev/null
    done
}

rung_reboot() {
    [ "$last_resort_reboot" != never ] && [ "$boot" = kept ] && [ "$previous_boot" = "$previous_live" ] || return 0
    [ "$last_resort_reboot" = always ] || no_way_in || return 0
    note "the previous system could not be made live again, so the host reboots into it"
    finish rollback-failed
    sync_boot_side "$commit_limit"
    # Whoever waits here holds up the shutdown that has just begun.
    sc reboot --no-block && exit 0
    sleep 20
    timeout -k 5 60 systemctl reboot -f && exit 0
    sleep 20
    timeout -k 5 60 systemctl reboot -ff
    exit 0
}

# no_way_in: whether nobody can log in any more, as far as that is known: not where systemd does not answer, nor where the way
# in was something else than an ssh unit.
no_way_in() {
    [ "$over_ssh" = yes ] && ssh_unit_in "$dir/active" && wanted_units active,activating,reloading >"$dir/active-now" &&
        ! ssh_unit_in "$dir/active-now"
}

# gone UNIT: whether there is no such unit any more. No answer is not a no: systemd may be about to execute itself again.
gone() {
    case $(sc show -p LoadState --value -- "$1" 2>/dev/null) in
    not-found | masked) return 0 ;;
    *) return 1 ;;
    esac
}

# Without an answer from logind every login and every sudo hangs. It may be active and yet have lost its connection.
wake_logind() {
    grep -q -F -x systemd-logind.service "$dir/active" && tool loginctl >/dev/null || return 0
    timeout -k 5 15 loginctl --no-pager list-users >/dev/null 2>&1 && return 0
    sc restart systemd-logind.service
    timeout -k 5 15 loginctl --no-pager list-users >/dev/null 2>&1 || note "logind does not answer, so logins may hang"
}

# verify_previous: while `activate` hangs, /etc is new and current-system still old; so each by itself. Complains of what is not.
verify_previous() {
    local tries
    [ "$(readlink -f /run/current-system)" = "$previous_live" ] || { complain not-live "/run/current-system is another"; return; }
    [ "$(readlink -f /etc/static)" = "$(readlink -f "$previous_live/etc")" ] || { complain not-live "/etc is another system's"; return; }
    tries=0
    until units_are_as_before; do
        tries=$((tries + 1))
        [ "$tries" -lt 10 ] || return 1
        mend_units
        pause 0.5
    done
    [ "$over_ssh" = no ] || ! ssh_unit_in "$dir/active" || ssh_unit_in "$dir/active-now" ||
        complain unreachable "no ssh unit is active"
}

ssh_unit_in() { grep -q -E '^sshd?\.(service|socket)$' "$1"; }

# units_are_as_before: leaves lists of those that are not. Where systemd does not answer nobody knows, and the lists are empty.
units_are_as_before() {
    : >"$dir/missing"
    : >"$dir/failed-now"
    { wanted_units active,activating,reloading >"$dir/active-now" && failed_units >"$dir/failed-all"; } || { complain no-answer-from-systemd "systemd does not answer"; return; }
    grep -F -x -v -f "$dir/active-now" "$dir/active" >"$dir/missing"
    grep -F -x -v -f "$dir/failed-before" "$dir/failed-all" >"$dir/failed-now"
    [ -s "$dir/missing" ] || [ -s "$dir/failed-now" ] || return 0
    complain units-failed "units are not as before: $(cat "$dir/missing" "$dir/failed-now" | sort -u | tr '\n' ' ')"
}

mend_units() {
    local service
    while read -r service; do
        if gone "$service"; then
            # It was transient.
            grep -F -x -v -e "$service" "$dir/active" >"$dir/active.new"
            mv -f "$dir/active.new" "$dir/active"
        else
            sc reset-failed -- "$service" 2>/dev/null
            sc start --no-block -- "$service" 2>/dev/null
        fi
    done <"$dir/missing"
    # A unit that only the new system had is history, not a fault of the previous one.
    while read -r service; do ! gone "$service" || sc reset-failed -- "$service" 2>/dev/null; done <"$dir/failed-now"
}
