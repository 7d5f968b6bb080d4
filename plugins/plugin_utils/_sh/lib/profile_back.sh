# The way back of a profile.
# inputs: rollback_limit
# facts: new previous_boot previous_generation highest_generation
# needs: base highest_generation process profile profile_owner
# shellcheck shell=sh

# put_profile_back: to the generation that was, and our own one away.
put_profile_back() {
    local ours
    # Ours, or a stray one that a `--set` left on a full disk: above all that there were, and naming the new system.
    if [ "$(boot_default) $(current_generation)" != "$previous_boot $previous_generation" ]; then
        if [ -z "$previous_boot" ]; then
            for_profile "$rollback_limit" rm -f "$profile"
        elif [ -n "$previous_generation" ] && [ "$(readlink -f "$profile-$previous_generation-link")" = "$previous_boot" ]; then
            for_profile "$rollback_limit" nix-env -p "$profile" --switch-generation "$previous_generation"
        else
            for_profile "$rollback_limit" nix-env -p "$profile" --set "$previous_boot"
        fi
    fi
    [ "$(boot_default)" = "$previous_boot" ] || return 1
    ours=$(highest_generation)
    while [ "$ours" -gt "$highest_generation" ]; do
        [ "$(readlink -f "$profile-$ours-link")" != "$new" ] || [ "$ours" = "$(current_generation)" ] || for_profile "$rollback_limit" rm -f "$profile-$ours-link"
        ours=$((ours - 1))
    done
    limited "$rollback_limit" sync -f "${profile%/*}"
}
