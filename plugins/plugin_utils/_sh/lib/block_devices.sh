# Disks, their partitions and what is made of them: who uses which, and what lies on which.
# needs: base decoded
# shellcheck shell=sh

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

# is_hidden NAME: one of the paths of a disk that has several (NVMe): nobody can open it.
is_hidden() { read_line "/sys/class/block/$1/hidden" && [ "$line" = 1 ]; }

# uses_of NAME: who uses a block device itself, or what is made of it: "mount PLACE", "swap NAME" or "part-of NAME", one a line. Fails where that is
# not known.
uses_of() {
    local above device
    read_line "/sys/class/block/$1/dev"
    mounts_of "$1" "$line" || return
    for above in /sys/fs/btrfs/*/devices/"$1"; do [ ! -e "$above" ] || echo "mount btrfs ($1)"; done
    while read -r device _; do [ "$(readlink -f "$device")" != "/dev/$1" ] || echo "swap $1"; done </proc/swaps
    for above in "/sys/class/block/$1/holders/"*; do
        [ -e "$above" ] || continue
        echo "part-of ${above##*/}"
        uses_of "${above##*/}" || return
    done
}

# all_uses_of NAME: those of a disk and of its partitions.
all_uses_of() {
    local part
    for part in $(parts_of "$1"); do uses_of "$part" || return; done
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

# is_on_disks DIRECTORY DISKS: whether something is mounted there that is on some of these, and on nothing else.
is_on_disks() {
    local kind mounts number source
    mounts=$(mounts_below "$1" no) && [ -n "$mounts" ] || return
    # Of two at the same place the later one is seen.
    mounts=${mounts##*"$newline"}
    read -r kind number source <<END
$mounts
END
    lie_on "$(devices_of "$kind" "$number" "$source")" "$2"
}

# are_on_disks DIRECTORY DISKS: whether that is so, and nothing that is mounted there or below lies on another block device.
are_on_disks() {
    local devices kind mounts number source
    is_on_disks "$1" "$2" && mounts=$(mounts_below "$1" yes) || return
    while read -r kind number source; do
        devices=$(devices_of "$kind" "$number" "$source")
        # Nothing of these is no answer; others need no disk.
        case $devices:$kind in
        :zfs | :btrfs | :bcachefs) return 1 ;;
        :*) continue ;;
        esac
        lie_on "$devices" "$2" || return
    done <<END
$mounts
END
}

# lie_on DEVICES DISKS: whether there are some, and each lies on some of these disks, and on nothing else.
lie_on() {
    local device each found
    found=no
    for device in $1; do
        for each in $(rests_on "$device"); do
            case "$2 " in *" $each "*) found=yes ;; *) return 1 ;; esac
        done
    done
    [ "$found" = yes ]
}

# mounts_below DIRECTORY yes|no: kind, number and source of what is mounted there, one a line; with `yes` also below.
# shellcheck disable=SC2016 # awk's
mounts_below() (
    at=$1
    below=$2
    export at below
    awk_of_mounts '
        { here = decoded($5); at = ENVIRON["at"] }
        here == at || (ENVIRON["below"] == "yes" && index(here, at "/") == 1) {
            split(substr($0, index($0, " - ") + 3), words, " ")
            print words[1] " " $3 " " decoded(words[2])
        }' /proc/self/mountinfo
)

# devices_of KIND NUMBER SOURCE: by the kernel's names, what a mounted file system lies on; nothing where that cannot be told.
devices_of() {
    local device devices kind number source
    kind=$1
    number=$2
    source=$3
    case $kind in
    zfs) timeout -k 5 60 zpool list -v -H -P -L "${source%%/*}" | awk '$1 ~ "^/" { count = split($1, words, "/"); print words[count] }' ;;
    bcachefs) echo "$source" | tr ':' '\n' | while read -r device; do echo "${device#/dev/}"; done ;;
    btrfs)
        device=$(readlink -f "$source")
        for devices in /sys/fs/btrfs/*/devices; do [ ! -e "$devices/${device#/dev/}" ] || ls "$devices"; done
        ;;
    *) [ ! -e "/sys/dev/block/$number" ] || { device=$(readlink -f "/sys/dev/block/$number") && echo "${device##*/}"; } ;;
    esac
}

# rests_on NAME: the disks below it.
rests_on() {
    local at below
    at=$(readlink -f "/sys/class/block/$1")
    [ ! -e "$at/partition" ] || at=${at%/*}
    set -- "$at/slaves/"*
    if [ -e "$1" ]; then
        for below in "$@"; do rests_on "${below##*/}"; done
    else
        echo "${at##*/}"
    fi
}
