# Says which boot this is and how the host is; and reboots, unless that has happened already.
# From the controller: boot_id (of the boot that ends; empty where that is still to be asked), may_reboot, toplevel (what is to
# be booted; empty for the boot default), trying (the system of the caller's own trial), patience.
# inputs: boot_id may_reboot toplevel trying patience
# needs: base booted durable journal profile trial units
# shellcheck shell=sh

# unfinished: why the host may not be rebooted now; nothing where it may.
unfinished() {
    case $(sc show -p ActiveState --value "$unit" 2>/dev/null) in
    active | activating | deactivating | reloading)
        read_line "$run_dir/current"
        echo "a deployment is at work on it${line:+: $line}"
        return
        ;;
    esac
    # The next boot is not the one that is meant here. Once the new system runs, a reboot is a way back from it.
    if load_trial && [ "$trial_new" != "$trying" ] && [ "$trial_boot_id" = "$this" ] && trial_under_way; then
        echo "another controller is at work on it, and boots it once with $trial_new"
        return
    fi
    open=$(open_field id)
    read_line "$run_dir/current"
    open=${line:-$open}
    [ -z "$open" ] || echo "deployment $open was left unfinished on it; the next deployment repairs that"
}

# never_started: whether the host runs what it has booted, and its boot default is another system. A system that was booted once
# is no reason to leave it.
never_started() {
    [ -n "$default" ] && [ "$live" = "$(readlink -f /run/booted-system)" ] && ! is_system_of "$live" "$default" || return 1
    ! load_trial || [ "$trial_new" != "$live" ]
}

main() {
    answer_begin
    require_root
    read_line /proc/sys/kernel/random/boot_id
    this=$line
    answer boot_id "$this"
    answer booted "$(readlink -f /run/booted-system)"
    live=$(readlink -f /run/current-system)
    answer current "$live"
    default=$(boot_default)
    answer boot_default "$default"
    answer generation "$(current_generation)"
    answer_reboot_for "${toplevel:-$default}"
    [ "${toplevel:-$default}" != "$default" ] || ! never_started || answer reboot_for boot-default
    if [ -n "$boot_id" ] && [ "$this" != "$boot_id" ]; then
        # It has rebooted: told as soon as it is up.
        manager=$(timeout -k 5 "$patience" systemctl is-system-running --wait 2>/dev/null)
    else
        manager=$(sc is-system-running 2>/dev/null)
    fi
    answer manager "$manager"
    case $manager in
    running | degraded) ;;
    *) answer jobs "$(sc list-jobs --plain --no-legend --full 2>/dev/null | awk '{ print $2 }' | head -n 20 | tr '\n' ' ')" ;;
    esac
    failed=$(failed_units)
    for each in $failed; do answer failed_unit "$each"; done
    [ -z "$failed" ] || answer journal "$(printf '%s\n' "$failed" | unit_journals)"
    complaint=$(unfinished)
    answer unfinished "$complaint"
    [ "$may_reboot" != no ] && [ "$this" = "$boot_id" ] && [ "$manager" != stopping ] || return 0
    # A deployment that has committed may be tidying up yet, and reboots all the same.
    [ "$may_reboot" = after-commit ] || [ -z "$complaint" ] || refuse busy "is not rebooted: $complaint"
    complaint=$(sc reboot --no-block 2>&1) || refuse no-reboot "could not begin to reboot: $complaint"
}

main </dev/null
exit
