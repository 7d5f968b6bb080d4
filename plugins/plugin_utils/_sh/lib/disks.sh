# Disks that may be erased: which they are, who uses them, and what is on them. What cannot be told is refused.
# inputs: disks devices toplevel root allow
# sets: disk erasable
# needs: allowed base block_devices install_unit installed mounts
# shellcheck shell=sh

# look_at_disks yes|no: which disks the flake erases, by the kernel's names, in $erasable; refuses the first that may not be. disks: what the operator
# has named, one a line. devices: what the flake would erase. One that is named only has to be as free, and is left alone. root: where its root is
# mounted for an installation. toplevel: what is to be installed. allow: what is allowed although it would be refused. With `yes` it only looks: what
# an attempt since the boot has left in use is no obstacle yet.
look_at_disks() {
    local device each named
    # An earlier run has installed it, and did not hear that it had come up.
    if [ "$(leads_to /run/current-system)" = "$toplevel" ]; then
        answer runs yes
        say_host_keys
        exit 0
    fi
    # With `/` on a tmpfs alone it may be an installed system whose store is on a disk.
    { is_gone_after_boot / && is_gone_after_boot /nix/store; } || allowed installed_system ||
        refuse installed-system "runs a system that is still there after a boot, so it is no installer"
    erasable=
    named=
    while read -r device; do
        [ -n "$device" ] || continue
        find_disk "$device"
        named="$named $disk"
    done <<END
$disks
END
    while read -r device; do
        find_disk "$device"
        case "$named " in
        *" $disk "*) answer erases "$device ($(about "$disk"))" ;;
        *) refuse disk-not-named "would have $device ($(about "$disk")) erased by the flake, and nobody has named that disk" ;;
        esac
        erasable="$erasable $disk"
    done <<END
$devices
END
    # What is at work now, or done, uses them; whoever would start follows it, or refuses.
    if [ "$1" = yes ] && { in_progress || is_there; }; then return; fi
    refuse_pools
    # What is mounted where is known by the names without links.
    [ ! -e "$root" ] || [ "$(readlink -f "$root")" = "$root" ] || refuse no-directory "has $root, where the new system is to be, behind a link"
    if [ "$1" = no ] || ! is_on_disks "$root" "$(erased_disks)"; then
        [ "$(mount_of "$root" place)" != "$root" ] || refuse disk-in-use "has something mounted at $root, where the new system is to be"
    fi
    for each in $named; do
        if [ "$1" = no ] || ! is_half_done "$each"; then look_at_disk "$each"; fi
    done
}

# is_there: whether this system is installed already, and was not booted since.
is_there() { find_mark && [ -n "$mark" ] && [ "${line#* }" = "$toplevel" ]; }

# find_disk DEVICE: the kernel's name, in $disk, where it is hardware and whole.
find_disk() {
    disk=$(readlink -f "$1") && [ -b "$disk" ] && disk=${disk#/dev/} && [ -e "/sys/block/$disk/device" ] ||
        refuse no-disk "has no disk $1. Its disks are:$(disks_there)"
}

# look_at_disk NAME: refuses one that somebody uses, that belongs with others, or that has something on it which nobody has given away.
look_at_disk() {
    local uses
    uses=$(all_uses_of "$1") || refuse no-answer "does not say who uses the disk $1"
    [ -z "$uses" ] || refuse disk-in-use "uses the disk $1:$newline$uses"
    # What is refused is not read anew: udev would put together again what somebody has just taken apart.
    is_half_done "$1" || look_at_contents "$1"
    require_idle "$1"
    is_half_done "$1" || look_at_contents "$1"
}

# look_at_contents NAME: of a disk and its partitions, as far as the kernel knows of them.
look_at_contents() {
    local content part
    content=
    for part in $(parts_of "$1"); do look_at_content "$part"; done
    [ -z "$content" ] || allowed data_on_disks || refuse has-data "has something on the disk $1:$content"
}

# require_idle NAME: the kernel reads its partitions anew only where nobody at all has it or one of them open: what is mounted, swap, members of RAID,
# of LVM, of pools and of file systems with several devices, journals elsewhere, programs. udev is waited for, before and after.
require_idle() {
    local said tries
    tries=0
    while settle; do
        ! said=$(timeout -k 5 60 blockdev --rereadpt "/dev/$1" 2>&1) || break
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || refuse disk-in-use "uses the disk $1, or a part of it: $said"
        sleep 1
    done
    settle
}

settle() { timeout -k 5 60 udevadm settle 8>&- 2>/dev/null || :; }

# look_at_content NAME: adds what is there to $content. Only what is known to be of no other disk may go with this one.
look_at_content() {
    local key kind other said status table value
    said=$(timeout -k 5 60 blkid -p -o export "/dev/$1" 2>&1)
    status=$?
    [ "$status:$said" != 2: ] || return 0
    [ "$status" = 0 ] || refuse disk-of-several "does not say what is on /dev/$1 (blkid: ${said:-$status})"
    kind=
    table=
    other=
    while IFS='=' read -r key value; do
        case $key in
        TYPE) kind=$value ;;
        PTTYPE) table=$value ;;
        # What the table of the disk says of a partition.
        DEVNAME | PART_ENTRY_*) ;;
        *) other=$key ;;
        esac
    done <<END
$said
END
    [ -n "$kind$table$other" ] || return 0
    case $kind:$table in
    :?* | ext[234]:* | xfs:* | f2fs:* | vfat:* | exfat:* | ntfs:* | iso9660:* | udf:* | swap:* | crypto_LUKS:* | BitLocker:*) ;;
    *) refuse disk-of-several "has ${kind:-something unknown} on /dev/$1, which may belong with other disks" ;;
    esac
    content="$content$newline  /dev/$1: ${kind:-partitions} $table"
}

# refuse_pools: the kernel writes to the disks of an imported pool, whatever is read-only.
refuse_pools() {
    local each
    for each in /proc/spl/kstat/zfs/*/; do
        [ ! -d "$each" ] || refuse disk-in-use "has imported a ZFS pool: $(each=${each%/} && echo "${each##*/}")"
    done
}

# refuse_done: what is done is not erased again, unless somebody says so.
refuse_done() {
    allowed data_on_disks || refuse has-data "has been installed already, with something else, and was not booted since (${line#* })"
}

# say_host_keys: those that an installation has left in its mark, where the host runs what was installed then.
say_host_keys() {
    local key
    read_line "$mark_below_root"
    case $line in *" $toplevel") sed 1d "$mark_below_root" | while read -r key; do answer host_key "$key"; done ;; esac
}

# about NAME: what it is, for people.
about() {
    local line name
    name=$1
    # shellcheck disable=SC2046 # names
    set -- $(parts_of "$name")
    read_line "/sys/class/block/$name/size"
    printf '%s' "$name, $((${line:-0} / 2048)) MiB, $(($# - 1)) partitions"
    read_line "/sys/class/block/$name/device/model"
    printf '%s' "${line:+, $line}"
}

# disks_there: what may be named, as lines of a message, by the names that stay.
disks_there() {
    local each link
    for each in /sys/block/*/device; do
        [ -e "$each" ] || continue
        each=${each%/device}
        each=${each##*/}
        ! is_hidden "$each" || continue
        printf '\n  %s' "$(about "$each")"
        for link in /dev/disk/by-id/*; do [ "$(readlink -f "$link")" != "/dev/$each" ] || printf ' %s' "$link"; done
    done
}
