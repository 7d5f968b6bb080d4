# Says what an installation would erase, and refuses what may not be; changes nothing.
# needs: base disks tools
# shellcheck shell=sh

main() {
    local each
    answer_begin
    require_root
    [ -d /run/systemd/system ] || refuse no-systemd "does not run systemd, in whose units it builds and installs: boot an installer or a rescue system that does"
    for each in blockdev umount ssh-keygen; do tool "$each" >/dev/null || refuse no-tool "has no $each in $PATH"; done
    read_line /proc/sys/kernel/random/boot_id
    answer boot_id "$line"
    answer installer "$(tool nixos-install)"
    look_at_disks
}

main </dev/null
exit
