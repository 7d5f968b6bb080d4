# The file systems of /nix and of the boot loader, for whoever asks.
# needs: base free_space
# shellcheck shell=sh

# boot_partition: where the boot loader's files are; the first that is a file system of its own.
boot_partition() {
    local above at
    for at in /boot /efi /boot/efi; do
        [ -d "$at" ] || continue
        above=${at%/*}
        [ "$(stat -c %d "$at")" = "$(stat -c %d "${above:-/}")" ] || { echo "$at" && return; }
    done
    [ ! -d /boot ] || echo /boot
}

# answer_file_systems: of /nix and of the boot partition the directory, and the KiB that are free and that there are.
answer_file_systems() {
    local boot
    answer_file_system nix /nix
    boot=$(boot_partition)
    [ -z "$boot" ] || answer_file_system boot "$boot"
}

answer_file_system() {
    free_kib "$2"
    answer "free_space_$1" "$2${free:+ $free $total}"
}
