# What an installation since the boot has begun to erase, and whether it is done.
# inputs: root
# sets: mark
# needs: base block_devices
# shellcheck shell=sh

# The disks that an installation has begun to erase since the boot. diskseq is the kernel's own number for each disk that it ever saw.
erased_list=$run_dir/install-erased
# Those of them that an installation which is done is on.
done_list=$run_dir/install-done
# What an installation that is done has left below its root: whose it is, and the host keys. A copy outlives the unmounting.
mark_below_root=$var_dir/installed
mark_copy=$run_dir/installed

# is_erased NAME: whether an installation since the boot has begun to erase it, so that what is on it is that one's. A kernel that does not number
# disks cannot tell it from another one.
is_erased() {
    read_line "/sys/block/$1/diskseq"
    [ -n "$line" ] && grep -q -x -F "$1 $line" "$erased_list" 2>/dev/null
}

# is_half_done NAME: whether what is on it is what an installation since the boot has left unfinished. Nobody misses that.
is_half_done() { is_erased "$1" && ! grep -q -x -F "$1 $line" "$done_list" 2>/dev/null; }

erased_disks() {
    local each
    [ ! -e "$erased_list" ] || while read -r each _; do ! is_erased "$each" || printf ' %s' "$each"; done <"$erased_list"
}

# find_mark: the file that says that an installation since the boot is done, in $mark, and its first line in $line; nothing where there is none.
find_mark() {
    mark=
    line=
    if [ -e "$mark_copy" ]; then
        mark=$mark_copy
    elif [ -e "$root$mark_below_root" ] && is_on_disks "$root" "$(erased_disks)"; then
        mark=$root$mark_below_root
    fi
    [ -z "$mark" ] || read_line "$mark"
}

# is_done JOB TOPLEVEL: whether this very installation is, as its own mark says; a full /run loses all else.
is_done() { find_mark && [ "$line" = "$1 $2" ]; }

# say_erased: whether something was erased since the boot, by whomever.
say_erased() { [ ! -e "$erased_list" ] || answer erased yes; }
