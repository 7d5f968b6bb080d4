# The way back of a profile.
# inputs: rollback_limit
# facts: new previous_boot previous_generation highest_generation
# needs: base process profile profile_owner
# shellcheck shell=sh

# put_profile_back: to the generation that was, and our own one away.
put_profile_back() {
    local back_until link number
    # Ours, or a stray one that a `--set` left on a full disk: above all that there were, and naming the new system.
    if [ "$(boot_default) $(current_generation)" != "$previous_boot $previous_generation" ]; then
        if [ -z "$previous_boot" ]; then
            for_profile "$rollback_limit" rm -f "$profile"
        elif [ -n "$previous_generation" ] && [ "$(leads_to "$profile-$previous_generation-link")" = "$previous_boot" ]; then
            for_profile "$rollback_limit" nix-env -p "$profile" --switch-generation "$previous_generation"
        else
            for_profile "$rollback_limit" nix-env -p "$profile" --set "$previous_boot"
        fi
    fi
    [ "$(boot_default)" = "$previous_boot" ] || return 1
    deadline "$rollback_limit"
    back_until=$deadline
    # Only what is there: in a directory of its owner's the numbers may be any.
    for link in "$profile"-*-link; do
        ! is_over "$back_until" || break
        number=${link#"$profile"-}
        number=${number%-link}
        case $number in '' | *[!0-9]* | ??????????* | "$(current_generation)") continue ;; esac
        [ "$number" -le "$highest_generation" ] || [ "$(readlink "$link")" != "$new" ] || for_profile "$rollback_limit" rm -f "$link"
    done
    limited "$rollback_limit" sync -f "${profile%/*}"
}
