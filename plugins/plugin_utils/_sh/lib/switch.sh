# Running switch-to-configuration.
# needs: base before_loader ended held_files log on_disk process
# shellcheck shell=sh

switch_lock=/run/nixos/switch-to-configuration.lock

# lock_held: whether a switch-to-configuration really holds its lock; exit 11 alone says less.
lock_held() {
    [ -e "$switch_lock" ] && ! flock -n "$switch_lock" true
}

# prepare_loader LIMIT SYSTEM: under that lock, since an installer that is at work makes the very files that are looked at. No, where it is held.
prepare_loader() {
    # A failing exec would end this shell.
    { { [ -d "${switch_lock%/*}" ] || mkdir -m 0755 "${switch_lock%/*}"; } && command exec 6>>"$switch_lock" && flock -n 6; } 2>/dev/null || {
        exec 6>&-
        return 1
    }
    # Who hangs keeps no lock.
    before_loader "$1" "$2" 6>&-
    flock -u 6
    exec 6>&-
}

# switch_to LIMIT TOPLEVEL ACTION LOOK: the status, also in $switch_status, is switch-to-configuration's own, or the limit's. LOOK says
# whether the host still is ours to switch; it is asked each time anew, since who holds the lock is somebody who switches it. How often it ran is in $switch_runs.
switch_to() {
    local began came_free time
    time_for "$1"
    clock
    began=$uptime
    came_free=0
    switch_runs=0
    while :; do
        "$4" || { switch_status=$taken && return "$taken"; }
        read_log
        log_mark "switch-to-configuration $3 of $2"
        if [ "$3" = boot ] && ! prepare_loader "$1" "$2"; then
            # As it would say itself.
            echo "Could not acquire lock" >&7
            status=11
        else
            # That has taken its time.
            [ "$3" != boot ] || "$4" || { switch_status=$taken && return "$taken"; }
            switch_runs=$((switch_runs + 1))
            logged "$1" "$2/bin/switch-to-configuration" "$3"
        fi
        switch_status=$status
        [ "$switch_status" = 0 ] && return 0
        # Those who hold files would be ended with what it has left behind.
        [ -z "$held_by" ] || [ "$switch_status" = 11 ] || sync_boot_side "$1"
        # All that it said, before the reader is ended with what it has left behind.
        if log_line "$(ended "$switch_status" "$time")"; then
            reap_logged
        else
            # Somebody prints without end.
            reap_logged
            rm -f "$log_file.whole"
            log_line "$(ended "$switch_status" "$time")"
        fi
        [ "$switch_status" = 11 ] || return "$switch_status"
        # Another run holds the lock: wait for it, within the same limit. It may have let go since; then once more.
        lock_held || came_free=$((came_free + 1))
        clock
        [ "$came_free" -le 1 ] && [ $((uptime - began)) -lt "$time" ] || return "$switch_status"
        pause 1
    done
}
