# What was booted, and what runs, beside a system.
# needs: base
# shellcheck shell=sh

# other_parts SYSTEM: which of the kernel and what else the boot loader hands over to it are not those that were booted.
other_parts() {
    local booted_line part
    # Links into the store: the same, if they lead to the same. append-initrd-secrets puts files of the host into the initrd, dtbs are device trees.
    for part in initrd kernel kernel-modules append-initrd-secrets dtbs; do
        # shellcheck disable=SC3013 # of POSIX since 2024, and of every shell that is tested
        [ "/run/booted-system/$part" -ef "$1/$part" ] || { [ ! -e "/run/booted-system/$part" ] && [ ! -e "$1/$part" ]; } || echo "$part"
    done
    # Each system has a file of its own; one without any boots no kernel.
    read_text /run/booted-system/kernel-params
    booted_line=$line
    read_text "$1/kernel-params"
    [ "$line" = "$booted_line" ] || echo kernel-params
    # Which one of the device trees: the boot specification says.
    [ "$(devicetree_of /run/booted-system)" = "$(devicetree_of "$1")" ] || echo devicetree
    [ "$(xen_of /run/booted-system)" = "$(xen_of "$1")" ] || echo xen
}

# read_text FILE: in $line, words between single spaces.
read_text() {
    read_line "$1"
    # shellcheck disable=SC2086 # words
    line=$(set -f && printf '%s ' $line)
}

devicetree_of() { [ ! -e "$1/boot.json" ] || sed -n 's/.*"devicetree" *: *"\([^"]*\)".*/\1/p' "$1/boot.json"; }

# xen_of SYSTEM: the hypervisor below the kernel, and its parameters; earlier releases have files of their own for that.
xen_of() {
    [ ! -e "$1/xen.gz" ] || readlink -f "$1/xen.gz"
    read_text "$1/xen-params"
    echo "$line"
    [ ! -e "$1/boot.json" ] || tr -d '\n' <"$1/boot.json" | sed -n 's/.*"org\.xenproject\.[^"]*" *: *{\([^}]*\)}.*/\1/p'
}

answer_reboot_for() { local part; for part in $(other_parts "$1"); do answer reboot_for "$part"; done; }

# is_system_of LIVE TOPLEVEL: whether what runs is this system, or one of its specialisations, or the system that this one wraps.
is_system_of() {
    local specialised
    [ "$1" != "$2" ] && [ "$(readlink -f "$2/init")" != "$1/init" ] || return 0
    for specialised in "$2"/specialisation/*; do
        [ ! -e "$specialised" ] || [ "$(leads_to "$specialised")" != "$1" ] || return 0
    done
    return 1
}
