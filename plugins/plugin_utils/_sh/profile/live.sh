# What runs of a profile. Nothing on a host tells it: so a link of ours names what was activated, as long as that is not what the profile names.
# It outlasts a reboot, as the files do that an activation writes.
# sets: tools
# needs: base profile
# shellcheck shell=sh

live_link=$var_dir/live

# live_system: nothing, where that is not known.
live_system() {
    if [ ! -L "$live_link" ]; then boot_default; else readlink "$live_link" | grep -v -x unknown || :; fi
}

# note_unknown: whatever is deployed next, it is activated.
note_unknown() { note_live unknown; }

# note_live GENERATION: before it is activated, and not on the way back: as long as that has not ended well what runs is not what the profile names,
# and on a disk without room nothing can be noted, and all the same has to go back.
note_live() { ln -sfn "$1" "$live_link" && sync -f "$var_dir"; }

# forget_live: what the profile names runs.
forget_live() {
    [ ! -L "$live_link" ] || rm -f "$live_link"
    sync -f "$var_dir"
}

# tools_of GENERATION: the host's own. What a profile has may be its owner's, and is not for root.
# shellcheck disable=SC2034
tools_of() { tools=$PATH; }
