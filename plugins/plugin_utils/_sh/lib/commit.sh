# Making a system the boot default. The move of the profile link is the commit point: before it everything rolls back,
# after it forward. The boot default is always $new itself, also where one of its specialisations, $new_live, is live.
# inputs: commit_limit rollback_limit mode
# needs: base boot_loader highest_generation process profile record reports_to_directory switch
# shellcheck shell=sh

# boot_files FILE: writes down what the boot loader has. A kernel has its store path in its name; small files are read.
boot_files() {
    limited "$commit_limit" find /boot /efi -type f \( -size -2048 -exec cksum {} + -o -exec stat -c '%s %n' {} + \) >"$1" 2>/dev/null
}

# boot_untouched: whether all that the boot loader had before the commit is there as it was. Then it boots what it booted,
# also where there was not one byte free to write the same once more.
boot_untouched() {
    local missing
    grep -q -e '/loader/loader\.conf$' -e '/grub\.cfg$' -e '/extlinux\.conf$' "$dir/boot-files" 2>/dev/null || return 1
    boot_files "$dir/boot-files.now"
    # 1: every line of it is still there; 2 would be an error.
    missing=0
    grep -q -F -x -v -f "$dir/boot-files.now" "$dir/boot-files" || missing=$?
    [ "$missing" = 1 ]
}

commit() {
    local set_status
    if { [ "$mode" = test ] && [ "$(readlink -f /run/current-system)" != "$new_live" ]; } || [ "$(boot_default)" != "$previous_boot" ]; then
        give_up superseded "somebody else has switched the host meanwhile"
    fi
    boot_files "$dir/boot-files"
    state commit-check
    switch_to "$commit_limit" "$new" boot
    [ "$switch_status" = 0 ] || give_up boot-loader "the boot loader could not be prepared: switch-to-configuration boot $(ended "$switch_status" "$commit_limit")"
    state commit-profile
    limited "$commit_limit" nix-env -p "$profile" --set "$new" >>"$dir/log" 2>&1 </dev/null
    set_status=$?
    [ "$(boot_default)" = "$new" ] || give_up profile "the system profile could not be set: nix-env $(ended "$set_status" "$commit_limit")"
    finish_commit || exit 1
}

# finish_commit: from the moved profile link on.
finish_commit() {
    limited "$commit_limit" sync -f "$profile"
    state commit-boot
    switch_to "$commit_limit" "$new" boot
    [ "$switch_status" = 0 ] || switch_to "$commit_limit" "$new" boot
    [ "$switch_status" = 0 ] || {
        why boot-loader "the boot loader could not be written: switch-to-configuration boot $(ended "$switch_status" "$commit_limit")"
        return 1
    }
    state commit-verify
    sync_boot_side "$commit_limit"
    [ "$(boot_default)" = "$new" ] || {
        why profile "the system profile has moved away again"
        return 1
    }
    finish committed
}

# put_profile_back: to the generation that was, and our own one away.
put_profile_back() {
    local ours
    # Ours, or a stray one that a `--set` left on a full disk: above all that there were, and naming the new system.
    if [ "$(boot_default) $(current_generation)" != "$previous_boot $previous_generation" ]; then
        if [ -z "$previous_boot" ]; then
            rm -f "$profile"
        elif [ -n "$previous_generation" ] && [ "$(readlink -f "$profile-$previous_generation-link")" = "$previous_boot" ]; then
            limited "$rollback_limit" nix-env -p "$profile" --switch-generation "$previous_generation" >>"$dir/log" 2>&1 </dev/null
        else
            limited "$rollback_limit" nix-env -p "$profile" --set "$previous_boot" >>"$dir/log" 2>&1 </dev/null
        fi
    fi
    [ "$(boot_default)" = "$previous_boot" ] || return 1
    ours=$(highest_generation)
    while [ "$ours" -gt "$highest_generation" ]; do
        [ "$(readlink -f "$profile-$ours-link")" != "$new" ] || [ "$ours" = "$(current_generation)" ] || rm -f "$profile-$ours-link"
        ours=$((ours - 1))
    done
    limited "$rollback_limit" sync -f "${profile%/*}"
}

# boot_back: profile and boot loader as they were.
boot_back() {
    local kept starts
    put_profile_back || {
        why profile "the system profile could not be put back to $previous_boot"
        return 1
    }
    [ -n "$previous_boot" ] || return 0
    NIXOS_NO_CHECK=1
    export NIXOS_NO_CHECK
    switch_to "${1:-$commit_limit}" "$previous_boot" boot
    if [ "$switch_status" != 0 ]; then
        if boot_untouched; then kept="not be written, and is as it was"; else kept="not be put back"; fi
        note "the boot loader could $kept: switch-to-configuration boot of $previous_boot $(ended "$switch_status" "$commit_limit")"
        [ "$kept" != "not be put back" ] || {
            starts=$(loader_default /boot /efi /boot/efi)
            note "the boot loader starts ${starts:-a system that is not known}, and the system profile is $(boot_default)"
            return 1
        }
    fi
    sync_boot_side "$commit_limit"
}
