# How much room there is for a new system, and how much it needs.
# shellcheck shell=sh

free_kib() { df -P -k "$1" | awk 'NR == 2 { print $4 }'; }

# own_boot_partition: whether /boot is a file system of its own; only then are kernel and initrd copied there.
own_boot_partition() { [ -d /boot ] && [ "$(stat -c %d /boot)" != "$(stat -c %d /nix)" ]; }

# answer_room: what is free, and what $new would take on the boot partition.
answer_room() {
    answer free_nix_kib "$(free_kib /nix)"
    own_boot_partition || return 0
    answer free_boot_kib "$(free_kib /boot)"
    [ "$valid" = no ] || answer boot_files_kib "$(boot_files_kib "$new")"
}

# boot_files_kib TOPLEVEL: what its kernels and initrds, those of its specialisations included, would take that are not on
# the boot partition yet. Their names there are made from their store paths.
boot_files_kib() {
    kib=0
    counted=
    for system in "$1" "$1"/specialisation/*; do
        for part in kernel initrd; do
            file=$(readlink -f "$system/$part") && [ -f "$file" ] || continue
            case " $counted " in *" $file "*) continue ;; esac
            counted="$counted $file"
            name=$(printf '%s' "${file#/nix/store/}" | tr / -)
            set -- /boot/EFI/nixos/"$name"* /boot/kernels/"$name"*
            [ -e "$1" ] || [ -e "${2-}" ] || kib=$((kib + $(stat -c %s "$file") / 1024 + 1))
        done
    done
    echo "$kib"
}
