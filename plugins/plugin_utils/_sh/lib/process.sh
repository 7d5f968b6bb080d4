# Running commands under limits, and ending what they leave behind.
# sets: deadline
# needs: base
# shellcheck shell=sh

child=
# By when, in seconds since the boot, all that is limited should have ended; nothing where each command has its own time.
all_until=

# time_for SECONDS: in $time, no more than is left until $all_until. Half a minute in any case: what nothing hinders is done by then.
time_for() {
    local uptime
    time=$1
    [ -n "$all_until" ] || return 0
    clock
    [ "$time" -le $((all_until - uptime)) ] || time=$((all_until - uptime))
    [ "$time" -ge 30 ] || time=30
    [ "$time" -le "$1" ] || time=$1
}

# deadline SECONDS: in $deadline, when that is over.
deadline() {
    local time uptime
    time_for "$1"
    clock
    # shellcheck disable=SC2034 # whoever asks reads it
    deadline=$((uptime + time))
}

# is_over DEADLINE
is_over() {
    local uptime
    clock
    [ "$uptime" -ge "$1" ]
}

# limited SECONDS COMMAND…: the command in the background with `wait`, since a trap does not run while a foreground child
# does; -k, since a child that ignores TERM would never end. 124 is the limit's, whatever `timeout` says then (137 where it
# had to kill, 143 where it is busybox's). A signal of somebody else's, such as the kernel's where memory is short, makes the
# same two; only the time tells. The status is in $status too, and the process in $child while it runs.
limited() {
    local began limited_by time uptime
    time_for "$1"
    limited_by=$time
    shift
    clock
    began=$uptime
    timeout -k 5 "$limited_by" "$@" 8>&- 9>&- &
    child=$!
    wait "$child"
    status=$?
    child=
    case $status in
    137 | 143)
        clock
        [ $((uptime - began)) -lt "$limited_by" ] || status=124
        ;;
    esac
    return "$status"
}

# pause SECONDS: may be a fraction.
pause() {
    sleep "$1" 8>&- 9>&- &
    child=$!
    wait "$child"
    child=
}

# out_of_time STATUS: whether it is the limit's.
out_of_time() { [ "$1" = 124 ]; }

# end_child: for traps.
end_child() {
    [ -n "$child" ] || return 0
    kill -TERM "$child" 2>/dev/null
    wait "$child" 2>/dev/null
    child=
}

# each_process CGROUP FUNCTION: calls it with the id of every process in the cgroup and those below it, but not of this
# shell, nor of the one that it is a subshell of. No command is started, since that would be a process there as well.
each_process() {
    local process procs self
    read -r self _ </proc/self/stat
    for procs in "/sys/fs/cgroup$1/cgroup.procs" "/sys/fs/cgroup$1"/*/cgroup.procs "/sys/fs/cgroup$1"/.control/cgroup.procs; do
        [ -r "$procs" ] || continue
        while read -r process; do
            # A process of another PID namespace reads as 0.
            case $process in
            "$$" | "$self" | 0) ;;
            *) "$2" "$process" ;;
            esac
        # The cgroup may go meanwhile.
        done 2>/dev/null <"$procs"
    done
}

# own_cgroup: in $line.
own_cgroup() { while read -r line; do case $line in 0::*) line=${line#0::} && return ;; esac; done </proc/self/cgroup; }

# is_in_cgroup PROCESS CGROUP
is_in_cgroup() {
    local process
    while read -r process; do
        [ "$process" != "$1" ] || return 0
    done 2>/dev/null <"/sys/fs/cgroup$2/cgroup.procs"
    return 1
}

kill_one() { kill -KILL "$1" 2>/dev/null; }

count_one() { left="$left $1"; }

# kill_others CGROUP: one by one with SIGKILL; cgroup.kill would take the undo along, and every process that it starts.
# Waits up to 10 s; what is left then hangs in the kernel, and is in $left.
kill_others() {
    local tries
    tries=0
    while :; do
        left=
        each_process "$1" kill_one
        each_process "$1" count_one
        [ -n "$left" ] && [ "$tries" -lt 100 ] || break
        tries=$((tries + 1))
        sleep 0.1
    done
}

# reap: a grandchild in its own session outlives `timeout -k`.
reap() {
    own_cgroup
    kill_others "$line"
}
