# Reboots an installer whose installation is done, unless that has happened already.
# boot_id: of the installer's boot. root: where the new system is mounted.
# inputs: boot_id root
# needs: base tools
# shellcheck shell=sh

main() {
    local said
    answer_begin
    require_root
    read_line /proc/sys/kernel/random/boot_id
    answer boot_id "$line"
    [ "$line" = "$boot_id" ] || return 0
    sync
    # What cannot be unmounted is on the disk all the same; but a pool that was not exported would have to be imported by force.
    timeout -k 5 60 umount -R "$root" 2>/dev/null || :
    ! tool zpool >/dev/null || timeout -k 5 60 zpool export -a 2>/dev/null || :
    said=$(sc reboot --no-block 2>&1) || refuse no-reboot "is installed, and could not begin to reboot: $said. Reboot it by hand, then deploy to it"
}

main </dev/null
exit
