# What systemd says of units.
# needs: base
# shellcheck shell=sh

# units_in STATES OPTION…: their names; fails where systemd does not answer, which is something else than a list without a name.
units_in() {
    local listed refused_until wanted_state
    wanted_state=$1
    shift
    # While it executes itself again it refuses connections, for a moment; one that hangs was waited for already.
    clock
    refused_until=$((uptime + 20))
    until listed=$(sc list-units --state="$wanted_state" "$@" --plain --no-legend --full 2>/dev/null); do
        [ "$?" = 1 ] && clock && [ "$uptime" -lt "$refused_until" ] || return 1
        sleep 0.5
    done
    each_first_word not_ours "$listed"
}

# each_first_word FUNCTION LINES: calls it with the first word of each line. Not by a pipe, which a shell reads byte by byte in
# a process of its own; nor by a here-document, since bash may write that to the disk, which may be full.
each_first_word() {
    local each_line old_ifs
    old_ifs=$IFS
    IFS=$newline
    set -f
    for each_line in $2; do
        each_line=${each_line#"${each_line%%[! ]*}"}
        "$1" "${each_line%% *}"
    done
    set +f
    IFS=$old_ifs
}

print_line() { printf '%s\n' "$1"; }

not_ours() { case $1 in deploy-flake*) ;; *) print_line "$1" ;; esac; }

failed_units() { units_in failed; }

# switching_units PATTERN…: what is switching the host beside us; and the units of these names that are active.
switching_units() {
    each_first_word print_line "$(sc list-units --state=active,activating,deactivating --plain --no-legend --full 'nixos-upgrade.service' 'nixos-rebuild-switch-to-configuration*' "$@")"
}
