# What was booted, and what runs, beside a system.
# needs: base
# shellcheck shell=sh

# other_parts SYSTEM: which of the kernel and what belongs to it are not those that were booted.
other_parts() {
    local part
    for part in initrd kernel kernel-modules; do
        # shellcheck disable=SC3013 # of POSIX since 2024, and of every shell that is tested
        [ "/run/booted-system/$part" -ef "$1/$part" ] || { [ ! -e "/run/booted-system/$part" ] && [ ! -e "$1/$part" ]; } || echo "$part"
    done
}

answer_reboot_for() { local part; for part in $(other_parts "$1"); do answer reboot_for "$part"; done; }

# is_system_of LIVE TOPLEVEL: whether what runs is this system, or one of its specialisations, or the system that this one wraps.
is_system_of() {
    local specialised
    [ "$1" != "$2" ] && [ "$(readlink -f "$2/init")" != "$1/init" ] || return 0
    for specialised in "$2"/specialisation/*; do
        [ ! -e "$specialised" ] || [ "$(readlink -f "$specialised")" != "$1" ] || return 0
    done
    return 1
}
