# Running switch-to-configuration.
# needs: base process
# shellcheck shell=sh

# sync_boot_side LIMIT: only the file systems that matter: a network mount that hangs must not hold up a commit.
sync_boot_side() {
    limited "$1" sync -f "${profile%/*}"
    [ ! -d /boot ] || limited "$1" sync -f /boot
    return 0
}

# lock_held: whether a switch-to-configuration really holds its lock; exit 11 alone says less.
lock_held() {
    [ -e /run/nixos/switch-to-configuration.lock ] && ! flock -n /run/nixos/switch-to-configuration.lock true
}

# switch_to LIMIT TOPLEVEL ACTION: the status, also in $switch_status, is switch-to-configuration's own, or the limit's.
switch_to() {
    local began came_free
    clock
    began=$uptime
    came_free=0
    echo "--- switch-to-configuration $3 of $2" >>"$dir/log"
    while :; do
        limited "$1" "$2/bin/switch-to-configuration" "$3" >>"$dir/log" 2>&1 </dev/null
        switch_status=$?
        [ "$switch_status" = 0 ] || reap
        [ "$switch_status" = 11 ] || return "$switch_status"
        # Another run holds the lock: wait for it, within the same limit. It may have let go since; then once more.
        lock_held || came_free=$((came_free + 1))
        clock
        [ "$came_free" -le 1 ] && [ $((uptime - began)) -lt "$1" ] || return "$switch_status"
        pause 1
    done
}

# ended STATUS LIMIT: in words.
ended() {
    if out_of_time "$1"; then echo "did not end within $2 s"; else echo "exited $1"; fi
}
