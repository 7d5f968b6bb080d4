# What systemd says of units.
# sets: told
# needs: base each_first_word
# shellcheck shell=sh

# ask_systemd ARGUMENT…: what systemctl says, in $told; fails where systemd does not answer.
ask_systemd() {
    local refused_until
    # While it executes itself again it refuses connections, for a moment; one that hangs was waited for already.
    clock
    refused_until=$((uptime + 20))
    until told=$(sc "$@" 2>/dev/null); do
        [ "$?" = 1 ] && clock && [ "$uptime" -lt "$refused_until" ] || return 1
        sleep 0.5
    done
}

# units_in STATES OPTION…: their names; fails where systemd does not answer, which is something else than a list without a name.
units_in() {
    local wanted_state
    wanted_state=$1
    shift
    ask_systemd list-units --state="$wanted_state" "$@" --plain --no-legend --full || return 1
    each_first_word not_ours "$told"
}

# Ours are the units of a deployment, and the mount of its directory.
not_ours() { case $1 in deploy-flake* | run-deploy*x2dflake-*) ;; *) print_line "$1" ;; esac; }

failed_units() { units_in failed; }
