# What has become of the deployment that is open, where that must survive a power loss: open.NAME beside open.json.
# needs: base
# shellcheck shell=sh

# mark_open NAME: what did not fit on the disk is nobody's mark, and nobody would remove it.
mark_open() {
    { printf '%s\n' "$id" >"$var_dir/open.$1.new"; } 2>/dev/null && mv -f "$var_dir/open.$1.new" "$var_dir/open.$1" && sync -f "$var_dir/open.$1" || {
        rm -f "$var_dir/open.$1.new"
        return 1
    }
}

# mark_undone: what was confirmed is put back from here on, whoever dies and wherever power is lost: nobody takes it for confirmed any more. A disk
# that is full has room for that.
mark_undone() {
    ! is_marked confirmed || { mv -f "$var_dir/open.confirmed" "$var_dir/open.undone" && sync -f "$var_dir"; }
}

# unmark NAME...: what stands for this deployment.
unmark() {
    local name
    for name in "$@"; do
        ! is_marked "$name" || { rm -f "$var_dir/open.$name" && sync -f "$var_dir"; } || return 1
    done
}

# is_marked NAME
is_marked() {
    read_line "$var_dir/open.$1"
    [ "$line" = "$id" ]
}
