# Says which boot this is and how the host is; and reboots, unless that has happened already.
# boot_id: of the boot that ends; empty where that is still to be asked. may_reboot: yes, no or after-commit. toplevel: what is to
# be booted; empty for the boot default. trying: the system of the caller's own trial. settle: for how long services are watched after
# the reboot, once the host is up.
# inputs: boot_id may_reboot toplevel trying patience settle
# needs: base booted committed_live complain durable journal nixos profile restarts trial units
# shellcheck shell=sh

# may_reboot_now: whether nothing forbids it; complains of what does.
may_reboot_now() {
    local open
    case $(sc show -p ActiveState --value "$unit" 2>/dev/null) in
    active | activating | deactivating | reloading)
        read_line "$run_dir/current"
        complain in-progress "a deployment is in progress on it${line:+: $line}"
        return
        ;;
    esac
    # The next boot is not the one that is meant here. Once the new system runs, a reboot is a way back from it.
    if load_trial && [ "$trial_new" != "$trying" ] && [ "$trial_boot_id" = "$this" ] && trial_in_progress; then
        complain in-progress "another controller boots it once with $trial_new, to try that"
        return
    fi
    read_line "$run_dir/current"
    open=${line:-$(open_field id)}
    [ -z "$open" ] || complain unfinished "deployment $open was left unfinished on it; the next deployment repairs that"
}

# waits_for_reboot: whether the boot default does not run, and a reboot into it ends nothing that was tested, or is to run until then. A system
# that was booted once is no reason to leave it.
waits_for_reboot() {
    local booted
    booted=$(leads_to /run/booted-system)
    [ -n "$default" ] && ! is_system_of "$live" "$default" && ! runs_until_reboot "$live" || return 1
    [ "$live" = "$booted" ] || [ "$default" != "$booted" ] || committed_live "$live" || return 1
    ! load_trial || [ "$trial_new" != "$live" ]
}

# answer_reasons: of the parts that only a reboot brings. Nobody needs one while a system is to run until then.
answer_reasons() { [ -z "$toplevel" ] && runs_until_reboot "$live" || answer_reboot_for "${toplevel:-$default}"; }

main() {
    local blocked each failed loops manager said
    answer_begin
    require_root
    # Once it has said that it is, it is not asked again while it starts.
    [ -n "$boot_id" ] || require_nixos
    read_line /proc/sys/kernel/random/boot_id
    this=$line
    answer boot_id "$this"
    answer booted "$(leads_to /run/booted-system)"
    live=$(leads_to /run/current-system)
    answer current "$live"
    default=$(boot_default)
    answer boot_default "$default"
    answer generation "$(current_generation)"
    answer_reasons
    [ "${toplevel:-$default}" != "$default" ] || ! waits_for_reboot || answer reboot_for boot-default
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
    loops=
    if [ -z "$boot_id" ]; then
        restarted | while read -r each; do answer restarted_unit "$each"; done
    elif [ "$this" != "$boot_id" ]; then
        # A service that dies is up for a moment first.
        case $manager in running | degraded) loops=$(looping "$settle" always) ;; esac
    fi
    failed=$(failed_units)
    for each in $failed; do answer failed_unit "$each"; done
    [ -z "$loops" ] || print_line "$loops" | while read -r each; do answer loop_unit "$each"; done
    [ -z "$failed$loops" ] || answer journal "$(printf '%s\n' "$failed" "$loops" | awk '$1 != "" { print $1 }' | unit_journals)"
    blocked=
    may_reboot_now || {
        blocked=$code
        answer blocked "$code"
        answer blocked_text "$complaint"
    }
    [ "$may_reboot" != no ] && [ "$this" = "$boot_id" ] && [ "$manager" != stopping ] || return 0
    # A deployment that has committed may be tidying up yet, and reboots all the same.
    [ "$may_reboot" = after-commit ] || [ -z "$blocked" ] || refuse busy "is not rebooted: $complaint"
    said=$(sc reboot --no-block 2>&1) || refuse no-reboot "could not begin to reboot: $said"
}

main </dev/null
exit
