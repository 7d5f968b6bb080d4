# The guard: undoes when the supervisor is gone without a final state, and at the latest at its deadline. A loop and no
# timer: a timer starts anew at every daemon-reload.
# shellcheck shell=sh

guard() {
    trap 'exit 0' TERM
    while [ -e "$dir/settings" ]; do
        read_line "$dir/state"
        if is_final "$line"; then
            # The undo of the supervisor cleans up; the guard only does if that was killed.
            if ! supervisor_there; then
                clean_up
                exit 0
            fi
        elif ! supervisor_there; then
            become_the_undo
        elif [ "$(now)" -ge $((guard_deadline + $(extension))) ]; then
            note "the supervisor was not done at the guard's deadline"
            timeout -k 5 30 systemctl stop --no-block "$unit"
            ! holds_unit || kill_others "$cgroup"
            become_the_undo
        fi
        sleep 1
    done
}

# A failed undo, or one that finds another at work, ends this unit with a failure, and systemd starts the guard again.
# shellcheck disable=SC2086 # the interpreter may be two words
become_the_undo() { exec $interpreter "$dir/program" undo "$dir"; }

# supervisor_there: whether deploy-flake.service still is this deployment and has a process.
supervisor_there() {
    [ -d "/sys/fs/cgroup$cgroup" ] || return 1
    active=$(sc show -p ActiveState --value "$unit" 2>/dev/null) || return 0
    case $active in
    inactive | failed) return 1 ;;
    esac
    holds_unit
}
