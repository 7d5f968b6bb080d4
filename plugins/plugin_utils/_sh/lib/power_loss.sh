# Which way a deployment goes that a power loss has interrupted.
# inputs: commit_limit
# facts: new previous_boot
# needs: base boot_loader booted calls commit profile_owner open_marks profile whose
# shellcheck shell=sh

# has_started_new: by what the boot loader says, or, where that cannot be told, by what was booted.
has_started_new() {
    local names
    names=0
    loader_names "$new" || names=$?
    [ "$names" = 0 ] || { [ "$names" = 2 ] && runs_new; }
}

# runs_new: whether the new system was booted, and not what boots by default.
runs_new() {
    local booted
    booted=$(leads_to /run/booted-system)
    is_system_of "$booted" "$new" && ! is_system_of "$booted" "$previous_boot"
}

# forward_after_power_loss: it was confirmed, and the host boots it, or would if the boot loader were written; there is no way back from that.
# The profile names it then.
forward_after_power_loss() {
    is_marked confirmed || return 1
    case $(boot_default) in
    "$new") return 0 ;;
    "$previous_boot") has_started_new || return 1 ;;
    *) return 1 ;;
    esac
    begin_call boot
    for_profile "$commit_limit" nix-env -p "$profile" --set "$new"
    end_call
    [ "$(boot_default)" = "$new" ]
}

# can_be_repaired: whether all is there for it. No host boots without its system profile.
can_be_repaired() { :; }

# is_live_after_power_loss: that has the boot done, or the next one does.
is_live_after_power_loss() { :; }

# is_back_after_power_loss: whether the host boots what it booted, and has.
is_back_after_power_loss() { boot_back && ! runs_new; }
