# The ways back to the system that ran, one after the other, each under its limit and verified.
# inputs: last_resort_reboot rollback_limit commit_limit over_ssh
# needs: base commit directory ends_in_a_boot invocations log manager on_disk open_marks previous_live process reports_to_directory switch
# needs: unit_changes verify ways committed_live
# shellcheck shell=sh

# go_back: in $way the one that did it, or none, theirs, shutdown or soft-reboot; in $verified whether what ran before runs again.
go_back() {
    local rounds
    begin_ways
    # What is somebody else's is theirs.
    if live_is_ours; then
        prune_lists
        forget_failures
    fi
    # A start that was refused, since something was still being stopped, is not yet a no.
    while
        rounds=$((rounds + 1))
        keep ways-rounds "$rounds"
        ! try_ways && [ "$rounds" -lt 4 ] && ! is_over "$all_until"
    do :; done
    [ "$way" != none ] || reboot_as_last_resort
}

# try_ways: no, if they should be tried once more.
try_ways() {
    for way in test restart-bus by-hand; do
        wait_for_jobs
        if ! live_is_ours; then
            way=theirs
            return
        fi
        printf '%s\n' "$way" >"$dir/rung"
        units_are_read=no
        # switch-to-configuration knows nothing of them, and whoever is to come back may want what is there.
        end_new_automounts
        leave_emergency
        has_previous_etc || forget_stopped
        # Whatever was reloaded for the new system's sake it reloads itself, as long as /etc is the new system's: that tells it what differs.
        switch_sees=yes
        ! has_previous_etc || switch_sees=no
        "way_$(printf '%s' "$way" | tr - _)"
        # What was cut off is over with it.
        [ "$(live_system)" != "$previous_live" ] || printf '' >"$dir/call"
        # One that died on its way may have put the units back, and not have told systemd. As long as they are the new system's, what
        # systemd knows is worth more.
        case $switch_status in
        0 | 4) units_are_read=yes ;;
        *) [ "$units_are_read" = yes ] || ! has_previous_etc || read_previous_units ;;
        esac
        wait_for_jobs
        printf '' >"$dir/not-reloaded"
        reloads_are_noted=yes
        case $units_are_read:$switch_sees:$switch_status in
        no:*) ;;
        yes:yes:0) forget_switched ;;
        *) reload_units ;;
        esac
        if verify_previous && wake_logind; then
            verified=yes
            return 0
        fi
        # Nothing can be started any more, and the host comes up with what it boots; but for a soft-reboot, which looks the same.
        if machine_stopping; then
            way=shutdown
            ends_in_a_boot || way=soft-reboot
            return 0
        fi
        if in_emergency; then
            way=none
            return 1
        fi
    done
    way=none
}

# stop_new_units: what only the new system has, and what it made something else of, as long as systemd knows how; with the previous system's
# units it knows no command for it, and the rules of a firewall would stay. What is not to be down meanwhile is restarted later, sshd above all.
# No, where systemd does not say within a minute what there is: then nothing of that may be lost.
stop_new_units() {
    local ask_until name
    deadline 60
    ask_until=$deadline
    until wanted_units active,activating,reloading >"$dir/active-now" && list_only_new && list_changed; do
        ! is_over "$ask_until" && ! machine_stopping || return 1
        pause 3
    done
    set --
    while read -r name; do set -- "$@" "$name"; done <"$dir/only-new"
    while read -r name; do
        { unit_file_in "$new_live" "$name" && says '^X-StopIfChanged=false'; } || set -- "$@" "$name"
    done <"$dir/changed"
    # By itself systemd gives a unit 90 seconds.
    [ "$#" = 0 ] || limited 100 systemctl --no-pager stop -- "$@" 2>/dev/null || note_not_stopped "$@"
}

# note_not_stopped UNIT…: what would have had something to do at its end, and goes on as if nothing had been asked.
note_not_stopped() {
    local name
    wanted_units active,reloading >"$dir/active-now" || return 1
    for name; do
        ! grep -q -F -x -e "$name" "$dir/active-now" || ! ends_with_a_command "$name" || printf '%s\n' "$name"
    done >>"$dir/not-stopped"
}

ends_with_a_command() { unit_file_in "$new_live" "$1" && says '^ExecStop'; }

# forget_switched: what both systems have was stopped or restarted by a switch that saw what differs.
forget_switched() {
    local name
    [ -s "$dir/not-stopped" ] || return 0
    while read -r name; do
        unit_file_in "$previous_live" "$name" || printf '%s\n' "$name" || return 1
    done <"$dir/not-stopped" >"$dir/not-stopped.new"
    mv -f "$dir/not-stopped.new" "$dir/not-stopped"
    forget_stopped
}

# forget_stopped: what has ended since, while systemd still knew the new system's units.
forget_stopped() {
    [ -s "$dir/not-stopped" ] && wanted_units active,activating,reloading,deactivating >"$dir/active-now" || return 0
    grep -F -x -f "$dir/active-now" "$dir/not-stopped" >"$dir/not-stopped.new"
    case $? in 0 | 1) mv -f "$dir/not-stopped.new" "$dir/not-stopped" ;; esac
}

# read_previous_units: until then whatever is started is the new system's, by a socket say. While /run is nearly full systemd refuses, so it is
# asked again, for a minute.
read_previous_units() {
    local ask_until
    deadline 60
    ask_until=$deadline
    note_invocations "$dir/invocations-new"
    until sc daemon-reload; do
        ! is_over "$ask_until" && ! machine_stopping || return 1
        pause 3
        note_invocations "$dir/invocations-new"
    done
    units_are_read=yes
}

# reload_units: what the new system had reloaded goes on with what it was given; now by the previous system's own commands. Once more does no
# harm. Lists those that hold the new system's still. Mounts come last, since a server that is gone holds each of them up.
# In $reloads_are_noted whether the list is whole: on a full /run it may not be, or lack mounts alone (but-mounts).
reload_units() {
    local name reload_until
    reloads_are_noted=no
    list_reloaded && awk '/\.mount$/ { last = last $0 "\n"; next } { print } END { printf "%s", last }' "$dir/reloaded" >"$dir/to-reload" ||
        return 0
    reloads_are_noted=yes
    deadline "$rollback_limit"
    reload_until=$deadline
    while read -r name; do
        ! is_over "$reload_until" && reload_unit "$name" || printf '%s\n' "$name" || not_noted "$name"
    done <"$dir/to-reload" >"$dir/not-reloaded" || reloads_are_noted=no
}

not_noted() {
    case $reloads_are_noted:$1 in
    no:*) ;;
    *.mount) reloads_are_noted=but-mounts ;;
    *) reloads_are_noted=no ;;
    esac
}

reload_unit() {
    sc --quiet is-active -- "$1" 2>/dev/null
    # Whoever starts it starts the previous system's.
    case $? in 3 | 4) return 0 ;; esac
    limited 60 systemctl --no-pager reload -- "$1" 2>/dev/null && return
    # A mount may be in use. What cannot be mounted anew, as an overlay, the new system has not changed either.
    case $1 in
    *.mount)
        is_mounted_as_before "$1"
        return
        ;;
    esac
    may_be_restarted "$1" && limited 90 systemctl --no-pager try-restart -- "$1" 2>/dev/null
}

# leave_emergency: by the previous system's own units; then switch-to-configuration has what it needs.
leave_emergency() {
    in_emergency || return 0
    stop_new_units || return 0
    # That took its time.
    live_is_ours || return 0
    logged "$rollback_limit" "$previous_live/activate"
    read_previous_units || return 0
    limited 90 systemctl isolate default.target
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

way_test() {
    NIXOS_NO_CHECK=1
    export NIXOS_NO_CHECK
    switch_to "$rollback_limit" "$previous_live" test live_is_ours
}

way_restart_bus() {
    local service
    for service in dbus.socket dbus.service systemd-logind.service; do
        sc reset-failed "$service" 2>/dev/null
        sc restart "$service" 2>/dev/null
    done
    way_test
}

way_by_hand() {
    local service start_until
    switch_status=none
    stop_new_units || return 0
    # That took its time.
    live_is_ours || return 0
    logged "$rollback_limit" "$previous_live/activate"
    [ "$status" = 0 ] || reap_logged
    read_previous_units || return 0
    sc reset-failed
    deadline "$rollback_limit"
    start_until=$deadline
    # The way in first.
    for service in $(grep -E '^(systemd-networkd|network|dhcpcd|NetworkManager|wpa_supplicant|sshd?)' "$dir/active") $(cat "$dir/active"); do
        # Where systemd does not answer, each takes it a minute.
        ! is_over "$start_until" || break
        sc --quiet is-active -- "$service" || ended_by_itself "$service" || sc start --no-block -- "$service" 2>/dev/null
    done
}

# reboot_as_last_resort: where that is allowed, and helps. It is asked for before the state is final: whoever dies in between, somebody asks
# again, and after the boot the open record tells.
reboot_as_last_resort() {
    [ "$boot" = kept ] && ! boot_is_theirs && boots_what_ran || return 0
    case $last_resort_reboot in
    never) return 0 ;;
    auto) ! way_in || return 0 ;;
    esac
    ! loader_starts_another "$previous_boot" || return 0
    live_is_ours || return 0
    printf 'reboot\n' >"$dir/rung"
    note "the host reboots into its boot default, since no other way led back to what ran"
    mark_open last-resort
    sync_boot_side "$commit_limit"
    # The shutdown ends the guard's units too.
    trap '' TERM
    # Whoever waits here holds up the shutdown that has just begun.
    sc reboot --no-block || {
        sleep 20
        timeout -k 5 60 systemctl reboot -f || timeout -k 5 60 systemctl reboot -ff
        # It has begun, or it will be asked for again.
        sleep 30
        exit 1
    }
}

# boots_what_ran: a system that wraps another one boots that, which is then called by its own name. What was to run until the next reboot comes
# to its end.
boots_what_ran() { [ "$previous_boot" = "$previous_live" ] || [ "$(readlink -f "$previous_boot/init")" = "$previous_live/init" ] || runs_until_reboot "$previous_live"; }

# way_in: whether somebody can still come in, as far as can be seen from here: ssh is up, and nothing of the new system is in the way. Where
# systemd does not answer, or the way in was something else, nobody knows.
way_in() {
    [ "$over_ssh" = yes ] && ssh_unit_in "$dir/active" && wanted_units active,activating,reloading >"$dir/active-now" || return 0
    # What is known first.
    [ "${reloads_are_noted-yes}" != no ] && [ ! -s "$dir/not-stopped" ] && ! grep -q -s -v '\.mount$' "$dir/not-reloaded" || return 1
    ssh_is_up || [ "$?" = 2 ] || return 1
    list_only_new || return 0
    [ ! -s "$dir/only-new" ] || return 1
    list_changed || return 0
    [ ! -s "$dir/changed" ]
}
