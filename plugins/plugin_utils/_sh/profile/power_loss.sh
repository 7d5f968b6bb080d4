# Which way a deployment of a profile goes that a power loss has interrupted. What an activation has written is still there, so a reboot alone
# brings nothing back.
# inputs: rollback_limit activate_limit
# facts: new new_live previous_boot previous_generation profile profile_home
# needs: base commit live manager open_marks process profile recorded_outcome reports_to_directory switch ways_back
# shellcheck shell=sh

# can_be_repaired: whether all is there that it needs, or somebody has removed the profile. While a home is not mounted, or nobody can be asked who
# its owner is, the profile only looks as if it were gone.
can_be_repaired() {
    [ -z "$(recorded_outcome)" ] || return 0
    if ! owner_is_there || ! profile_is_there; then
        note "$profile of $profile_user is not there (yet), so what a power loss or reboot has interrupted waits for it. \
Is its file system mounted? Where it is gone for good, remove $var_dir/open.json"
        return 1
    fi
}

owner_is_there() {
    [ "$profile_user" = root ] || { timeout -k 5 20 id -u -- "$profile_user" >/dev/null 2>&1 && [ -d "$profile_home" ]; }
}

profile_is_there() {
    if [ -n "$(boot_default)" ]; then
        return 0
    elif [ -n "$previous_boot" ]; then
        # Somebody has removed it.
        [ -L "$profile-$previous_generation-link" ]
    else
        # Before the first generation is activated, the directory is made.
        [ -d "${profile%/*}" ] || [ ! -L "$live_link" ]
    fi
}

# forward_after_power_loss: where the profile has moved.
forward_after_power_loss() { is_marked confirmed && [ "$(boot_default)" = "$new" ]; }

# is_live_after_power_loss: what was written in the last moment may be lost, so it is written once more.
is_live_after_power_loss() {
    again_and_again switch_to "$activate_limit" "$new_live" test : && return
    why activation "the new generation, which was confirmed, could not be activated once more: $(last_words)"
    return 1
}

# is_back_after_power_loss: whether the profile is as it was, and what it names is live.
is_back_after_power_loss() {
    boot_back || return 1
    previous_live=$previous_boot
    again_and_again take_back && return
    note "the previous generation could not be activated after the power loss: $(last_words)"
    return 1
}

# again_and_again COMMAND…: four times, as every way back. At a boot what it needs may come late: then all of it begins anew until the host is up for
# a quarter of an hour. Where all of that fails, nobody knows what runs.
again_and_again() {
    local tries
    wait_for_jobs
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -ge 4 ] || { pause 2 && continue; }
        [ "${at_boot-}" != yes ] || is_over 900 || exit 1
        # On a full disk; then the next deployment does it.
        note_unknown || exit 1
        return 1
    done
}
