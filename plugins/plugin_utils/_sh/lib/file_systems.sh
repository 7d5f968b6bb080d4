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

# room NAME DIRECTORY: answers with the directory, and the KiB that are free and that there are.
room() {
    free_kib "$2"
    answer "room_$1" "$2${free:+ $free $total}"
}
