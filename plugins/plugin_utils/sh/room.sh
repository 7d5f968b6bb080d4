# Room on the file systems that a system needs.
# shellcheck shell=sh

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
# A name with /. at its end is mounted first, where that is done on demand; but not everybody may look into it.
room() { answer "room_$1" "$2 $({ df -P -k "$2/." || df -P -k "$2"; } 2>/dev/null | awk '$4 ~ /^[0-9]+$/ { print $4, $2; exit }')"; }

# boot_files_fit: whether kernels and initrds of $new fit on the boot partition; says what is missing. Only where /boot is a file system of
# its own, and the boot loader keeps such files there, are they copied to it.
boot_files_fit() {
    [ -d /boot ] && [ "$(stat -c %d /boot)" != "$(stat -c %d /nix)" ] || return 0
    [ -d /boot/EFI/nixos ] || [ -d /boot/kernels ] || return 0
    needed=0
    counted=
    for system in "$new" "$new"/specialisation/*; do
        for part in kernel initrd; do
            [ -e "$system/$part" ] || continue
            file=$(readlink -f "$system/$part")
            # The name is made from the store path, so it tells whether the very file is there already.
            name=$(printf '%s' "${file#/nix/store/}" | tr / -)
            case $counted in *" $name "*) continue ;; esac
            counted="$counted $name "
            set -- "/boot/EFI/nixos/$name"* "/boot/kernels/$name"*
            [ -e "$1" ] || [ -e "${2-}" ] || needed=$((needed + $(stat -c %s "$file") / 1024 + 1))
        done
    done
    free=$(df -P -k /boot/. | awk 'NR == 2 { print $4 }')
    [ "$needed" = 0 ] || [ "$free" -ge "$needed" ] || {
        echo "has $free KiB free on /boot, and needs $needed KiB for the kernel and the initrd of the new system; old generations can be removed" \
            "with the module system_generations"
        return 1
    }
}
