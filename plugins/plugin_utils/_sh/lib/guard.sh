# The guard: undoes when the supervisor is gone without a final state, and at the latest at its deadline. A loop and no
# timer: a timer starts again at every daemon-reload.
# needs: base own_unit process record reports_to_directory states
# shellcheck shell=sh

guard() {
    local over tail_waits
    # Told to end before there is a final state, it ends with a failure, and systemd starts it again.
    trap '[ ! -e "$dir/settings" ] || { read_line "$dir/state" && is_final "$line"; }; exit "$?"' TERM INT HUP
    # For the undo of the supervisor, which ends it.
    echo "$$" >"$dir/guard"
    waiting=0
    over=no
    tail_waits=yes
    while [ -e "$dir/settings" ]; do
        read_line "$dir/state"
        if is_final "$line"; then
            # The undo of the supervisor cleans up, and has a second for it; the guard only does if that was killed.
            if [ "$over" = yes ] && ! supervisor_there; then
                clean_up
                exit 0
            fi
            over=yes
        elif ! supervisor_there; then
            become_the_undo
        elif clock && extension && [ "$uptime" -ge $((guard_deadline + extended)) ]; then
            note "the supervisor was not done at the guard's deadline"
            timeout -k 5 30 systemctl stop --no-block "$unit"
            ! holds_unit || kill_others "$cgroup"
            become_the_undo
        fi
        # No process is started while there is nothing to do: every host of a fleet has a guard.
        if [ "$tail_waits" = yes ] && main_process_there; then
            # busybox's waits for no process.
            limited 5 tail --pid="$main_process" -s 0.2 -f /dev/null 2>/dev/null || out_of_time "$status" || tail_waits=no
        else
            pause 1
        fi
    done
}

# A failed undo, or one that finds another in progress, ends this unit with a failure, and systemd starts the guard again.
# shellcheck disable=SC2086 # the interpreter may be two words
become_the_undo() { exec $interpreter "$dir/program" undo "$dir"; }

# supervisor_there: whether deploy-flake.service still is this deployment and has a process that acts. systemd starts no undo
# while a process hangs in the kernel, but waits for it, for as long as an undo may take; so that is waited for 15 s at most.
supervisor_there() {
    local shown
    [ -d "/sys/fs/cgroup$cgroup" ] || return 1
    if main_process_there; then
        waiting=0
        return 0
    fi
    shown=$(sc show -p ActiveState -p MainPID -p ControlPID "$unit" 2>/dev/null) || return 0
    case $shown in
    *ActiveState=inactive* | *ActiveState=failed*) return 1 ;;
    *ActiveState=deactivating*) ;;
    *) waiting=0 ;;
    esac
    case "$shown " in
    *MainPID=[1-9]* | *ControlPID=[1-9]*) waiting=0 ;;
    *) waiting=$((waiting + 1)) ;;
    esac
    [ "$waiting" -lt 15 ] || return 1
    holds_unit
}

# main_process_there: whatever else is in the cgroup does not count.
main_process_there() { is_in_cgroup "$main_process" "$cgroup"; }

# end_guard: the shell itself, which ends the unit; one that has lost a child first would say so in the journal.
end_guard() { [ "$1" != "$guard_process" ] || kill -TERM "$1" 2>/dev/null; }
