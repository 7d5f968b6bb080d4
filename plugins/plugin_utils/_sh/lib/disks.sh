# Disks that may be erased, and what uses them.
# inputs: disks devices toplevel root
# sets: disk erasable
# needs: base decoded tools
# shellcheck shell=sh

# The disks that an installation has begun to erase since the boot: what was mounted of them for it is no use of anybody's.
erased_list=$run_dir/install-erased

# look_at_disks: which of them may be erased, by the kernel's names, in $erasable; refuses the first one that may not. disks: what the operator
# has named, one a line. devices: what the flake would erase. root: where its root is mounted for an installation. toplevel: what is to be installed.
look_at_disks() {
    local device each
    # An earlier run has installed it, and did not hear that it had come up.
    if [ "$(readlink -f /run/current-system)" = "$toplevel" ]; then
        answer runs yes
        exit 0
    fi
    erasable=
    while read -r device; do
        [ -n "$device" ] || continue
        find_disk "$device" || refuse no-disk "has no disk $device. Its disks are:$(disks_there)"
        [ ! -e "/sys/class/block/$disk/partition" ] || refuse no-disk "has $device, which is the partition $disk and no disk. Its disks are:$(disks_there)"
        erasable="$erasable $disk"
    done <<END
$disks
END
    while read -r device; do
        find_disk "$device" || refuse no-disk "has no disk $device, which the flake would erase (disko.devices.disk). Its disks are:$(disks_there)"
        case "$erasable " in
        *" $disk "*) answer erases "$device ($(about "$disk"))" ;;
        *) refuse disk-not-named "would have $device ($(about "$disk")) erased by the flake, and nobody has named that disk" ;;
        esac
    done <<END
$devices
END
    for each in $erasable; do look_at_use "$each"; done
}

# find_disk DEVICE: the kernel's name, in $disk.
find_disk() {
    disk=$(readlink -f "$1") && [ -b "$disk" ] || return 1
    disk=${disk#/dev/}
    [ -e "/sys/class/block/$disk" ]
}

# look_at_use NAME: refuses a disk that is in use; first of all one that this host itself runs from.
look_at_use() {
    local kind mine uses what
    uses=$(uses_of "$1")
    while read -r kind what; do
        case $kind:$what in
        mount:/ | mount:/nix | mount:/nix/store | mount:/boot | mount:/efi | mount:/boot/efi)
            refuse runs-from-disk "runs from the disk $1 ($what is on it), so it is an installed system and no installer"
            ;;
        esac
    done <<END
$uses
END
    mine=no
    case " $(tr '\n' ' ' 2>/dev/null <"$erased_list") " in *" $1 "*) mine=yes ;; esac
    while read -r kind what; do
        case $mine:$kind:$what in
        *:: | "yes:mount:$root" | "yes:mount:$root/"* | yes:swap:* | yes:held:*) ;;
        *:mount:*) refuse disk-in-use "uses the disk $1: it is mounted at $what" ;;
        *:swap:*) refuse disk-in-use "uses the disk $1: $what is swap" ;;
        *) refuse disk-in-use "uses the disk $1: it is part of $what" ;;
        esac
    done <<END
$uses
END
}

# uses_of NAME: by whom a disk, a partition of it or what is made of one is used: "mount PLACE", "swap DEVICE" or "held NAME", one a line.
uses_of() {
    local above device each
    for each in $(parts_of "$1"); do
        read_line "/sys/class/block/$each/dev"
        mounts_of "$each" "$line"
        while read -r device _; do [ "$(readlink -f "$device")" != "/dev/$each" ] || echo "swap $device"; done </proc/swaps
        for above in "/sys/class/block/$each/holders/"*; do
            [ -e "$above" ] || continue
            uses_of "${above##*/}"
            echo "held ${above##*/}"
        done
        ! tool zpool >/dev/null || timeout -k 5 20 zpool list -v -H -P -L 2>/dev/null | awk -v device="/dev/$each" '$1 == device { print "held a ZFS pool" }'
    done
}

# mounts_of NAME NUMBER: btrfs has a number of its own, and says the name.
# shellcheck disable=SC2016 # awk's
mounts_of() (
    name=/dev/$1
    number=$2
    export name number
    awk_of_mounts '
        { split(substr($0, index($0, " - ") + 3), words, " ") }
        $3 == ENVIRON["number"] || words[2] == ENVIRON["name"] { print "mount " decoded($5) }' /proc/self/mountinfo
)

# parts_of NAME: itself and its partitions.
parts_of() {
    local each
    echo "$1"
    for each in "/sys/class/block/$1/"*/partition; do
        [ -e "$each" ] || continue
        each=${each%/partition}
        echo "${each##*/}"
    done
}

# all_disks: those that are hardware.
all_disks() {
    local each
    for each in /sys/block/*/device; do
        [ -e "$each" ] || continue
        each=${each%/device}
        echo "${each##*/}"
    done
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
    for each in $(all_disks); do
        printf '\n  %s' "$(about "$each")"
        for link in /dev/disk/by-id/*; do [ "$(readlink -f "$link")" != "/dev/$each" ] || printf ' %s' "$link"; done
    done
}
