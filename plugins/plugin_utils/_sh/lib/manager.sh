# What systemd is about.
# needs: base process
# shellcheck shell=sh

# machine_stopping: emergency and rescue are no shutdown; everything can be started there, as soon as what was to be stopped has stopped.
machine_stopping() { [ "$(sc is-system-running 2>/dev/null)" = stopping ]; }

# soft_reboot_begins: what lives on in /run is not over then.
soft_reboot_begins() { [ -n "$(sc list-jobs --plain --no-legend soft-reboot.target systemd-soft-reboot.service 2>/dev/null)" ]; }

in_emergency() { [ "$(sc is-system-running 2>/dev/null)" = maintenance ]; }

# wait_for_jobs: while emergency mode stops units, every start is refused. A soft-reboot starts everything first.
wait_for_jobs() {
    local time wait_until
    time_for 100
    clock
    wait_until=$((uptime + time))
    while [ "$uptime" -lt "$wait_until" ]; do
        case $(sc is-system-running 2>/dev/null) in
        maintenance) sc list-jobs --plain --no-legend --full 2>/dev/null | grep -v deploy-flake | grep -q ' stop ' || return 0 ;;
        initializing | starting) ;;
        *) return 0 ;;
        esac
        pause 0.5
        clock
    done
}
