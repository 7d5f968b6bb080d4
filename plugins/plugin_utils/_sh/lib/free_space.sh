# Room on the file systems that a system needs.
# needs: common
# shellcheck shell=sh

# free_kib DIRECTORY: what is free there, in $free, and what there is, in $total; nothing in $free, where that is not known. A
# name with /. at its end is mounted first, where that is done on demand; but not everybody may look into it.
free_kib() {
    said=$(df -P -k "$1/." 2>/dev/null || df -P -k "$1" 2>/dev/null)
    set -f
    # Below the line with the titles.
    # shellcheck disable=SC2086 # words
    set -- ${said#*"$newline"}
    set +f
    free=${4-}
    total=${2-}
    case $free in *[!0-9]*) free= ;; esac
}

# boot_partition: where the boot loader's files are; the first that is a file system of its own.
boot_partition() {
    for at in /boot /efi /boot/efi; do
        [ -d "$at" ] || continue
        above=${at%/*}
        [ "$(stat -c %d "$at")" = "$(stat -c %d "${above:-/}")" ] || { echo "$at" && return; }
    done
    [ ! -d /boot ] || echo /boot
}

# room NAME DIRECTORY: answers with the directory, and the KiB that are free and that there are.
room() {
    free_kib "$2"
    answer "room_$1" "$2${free:+ $free $total}"
}

# kernels_on_boot: whether kernels and initrds are copied to /boot: it is a file system of its own, and the boot loader keeps
# such files there.
kernels_on_boot() {
    [ -d /boot/EFI/nixos ] || [ -d /boot/kernels ] || return 1
    # shellcheck disable=SC2046 # two words
    set -- $(stat -c %d /boot /nix)
    [ "$1" != "$2" ]
}

# boot_files_kib TOPLEVEL: what its kernels and initrds, those of its specialisations included, would take that are not on
# /boot yet. Their names there are made from their store paths.
boot_files_kib() {
    kib=0
    counted=
    for system in "$1" "$1"/specialisation/*; do
        for part in kernel initrd; do
            file=$(readlink -f "$system/$part") && [ -f "$file" ] || continue
            case " $counted " in *" $file "*) continue ;; esac
            counted="$counted $file"
            at_boot=${file#/nix/store/}
            while :; do
                case $at_boot in */*) at_boot=${at_boot%%/*}-${at_boot#*/} ;; *) break ;; esac
            done
            set -- "/boot/EFI/nixos/$at_boot"* "/boot/kernels/$at_boot"*
            [ -e "$1" ] || [ -e "${2-}" ] || kib=$((kib + $(stat -c %s "$file") / 1024 + 1))
        done
    done
    echo "$kib"
}

# boot_files_fit: whether what $new needs fits on /boot; says what is missing.
boot_files_fit() {
    kernels_on_boot || return 0
    needed=$(boot_files_kib "$new")
    free_kib /boot
    [ "$needed" = 0 ] || [ "$free" -ge "$needed" ] || {
        echo "has $free KiB free on /boot, and needs $needed KiB for the kernel and the initrd of the new system; old generations can be removed" \
            "with the module system_generations"
        return 1
    }
}

# answer_room: what is free, and what $new would take on /boot.
answer_room() {
    free_kib /nix
    answer free_nix_kib "$free"
    kernels_on_boot || return 0
    free_kib /boot
    answer free_boot_kib "$free"
    [ "$valid" = no ] || answer boot_files_kib "$(boot_files_kib "$new")"
}
