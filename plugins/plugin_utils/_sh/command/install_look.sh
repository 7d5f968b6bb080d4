# Says what an installation would erase, and refuses what may not be; changes nothing.
# needs: base disks installed tools
# shellcheck shell=sh

main() {
    local each
    answer_begin
    require_root
    [ -d /run/systemd/system ] || refuse no-systemd "does not run systemd, in whose units it builds and installs: boot an installer or a rescue system that does"
    for each in awk blkid blockdev cmp ssh-keygen swapoff udevadm umount; do tool "$each" >/dev/null || refuse no-tool "has no $each in $PATH"; done
    read_line /proc/sys/kernel/random/boot_id
    answer boot_id "$line"
    answer installer "$(tool nixos-install)"
    say_erased
    find_mark
    [ -z "$mark" ] || is_there || refuse_done
    look_at_disks yes
}

main </dev/null
exit
