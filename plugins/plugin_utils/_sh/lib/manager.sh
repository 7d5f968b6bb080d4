# What systemd is about.
# needs: base process units
# shellcheck shell=sh

# machine_stopping: emergency and rescue are no shutdown; everything can be started there, as soon as what was to be stopped has stopped.
machine_stopping() { [ "$(sc is-system-running 2>/dev/null)" = stopping ]; }

# soft_reboot_begins: what lives on in /run is not over then. 2 where systemd does not answer, and nobody knows.
soft_reboot_begins() {
    ask_systemd list-jobs --plain --no-legend soft-reboot.target systemd-soft-reboot.service || return 2
    [ -n "$told" ]
}

in_emergency() { [ "$(sc is-system-running 2>/dev/null)" = maintenance ]; }

# wait_for_jobs: while emergency mode stops units, every start is refused. A soft-reboot starts everything first.
wait_for_jobs() {
    local wait_until
    deadline 100
    wait_until=$deadline
    while ! is_over "$wait_until"; do
        case $(sc is-system-running 2>/dev/null) in
        maintenance) sc list-jobs --plain --no-legend --full 2>/dev/null | grep -v deploy-flake | grep -q ' stop ' || return 0 ;;
        initializing | starting) ;;
        *) return 0 ;;
        esac
        pause 0.5
    done
}
