# Reboots, unless that has happened already; and says which boot this is. From the controller: boot_id, may_reboot.
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    read_line /proc/sys/kernel/random/boot_id
    answer boot_id "$line"
    answer booted "$(readlink -f /run/booted-system)"
    answer current "$(readlink -f /run/current-system)"
    answer manager "$(sc is-system-running 2>/dev/null)"
    [ "$may_reboot" = yes ] && [ "$line" = "$boot_id" ] || return 0
    sc reboot --no-block || refuse no-reboot "could not begin to reboot"
}

main </dev/null
exit
