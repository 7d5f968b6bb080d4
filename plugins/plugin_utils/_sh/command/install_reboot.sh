# Reboots an installer whose installation is done, unless that has happened already.
# boot_id: of the installer's boot. root: where the new system is mounted. job, toplevel: what is installed where, in one word, and its system.
# inputs: boot_id root job toplevel
# needs: base install_unit installed tools
# shellcheck shell=sh

main() {
    local said
    answer_begin
    require_root
    read_line /proc/sys/kernel/random/boot_id
    answer boot_id "$line"
    [ "$line" = "$boot_id" ] || return 0
    take_turn
    # Another controller may have begun anew meanwhile.
    ! in_progress || refuse busy "installs something again already, for another controller, or systemd does not say whether it does"
    is_done "$job" "$toplevel" || refuse busy "was told to install something else meanwhile, by another controller, so it does not reboot"
    sync
    # What stays mounted is unmounted by the shutdown; but a pool that was not exported would have to be imported by force. Where only what is mounted
    # says that it is done, whoever comes after a reboot that failed has to find it.
    if [ "$mark" = "$mark_copy" ]; then
        timeout -k 5 60 umount -R "$root" >/dev/null 2>&1 8>&- || :
        ! tool zpool >/dev/null || timeout -k 5 60 zpool export -a >/dev/null 2>&1 8>&- || :
    fi
    said=$(sc reboot --no-block 2>&1) || refuse no-reboot "is installed, and could not begin to reboot: $said. Reboot it by hand, then deploy to it"
}

main </dev/null
exit
