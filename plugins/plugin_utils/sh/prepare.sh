# Looks whether a deployment that waits for confirmation could commit now, and extends its window once.
# From the controller: id, and what wait.sh wants.
# shellcheck shell=sh

main() {
    begin
    if [ -e "$dir/window" ]; then
        # shellcheck disable=SC1091 # made by start.sh
        . "$dir/settings"
        if [ ! -e "$dir/mode" ] && [ "$(readlink -f /run/current-system)" != "${new_live:-$new}" ] ||
            [ -e "$profile" ] && [ "$(readlink -f "$profile")" != "$previous_boot" ]; then
            refuse superseded "was switched by somebody else meanwhile"
        fi
        room_for_boot_files
        printf 'yes\n' >"$dir/extended"
        [ ! -e "$dir/window" ] || answer prepared yes
    fi
    tell
}

# Only where /boot is a file system of its own are kernel and initrd copied there.
room_for_boot_files() {
    [ -d /boot ] && [ "$(stat -c %d /boot)" != "$(stat -c %d /nix)" ] || return 0
    needed=0
    for part in kernel initrd; do
        file=$(readlink -f "$new/$part")
        # The name is made from the store path, so it tells whether the very file is there already.
        name=${file#/nix/store/}
        set -- "/boot/EFI/nixos/$(printf '%s' "$name" | tr / -)"* "/boot/kernels/$(printf '%s' "$name" | tr / -)"*
        [ -e "$1" ] || [ -e "${2-}" ] || needed=$((needed + $(stat -c %s "$file") / 1024 + 1))
    done
    free=$(df -P -k /boot | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$needed" ] || refuse no-space "has $free KiB free on /boot, and needs $needed KiB for the kernel and initrd"
}

main </dev/null
exit
