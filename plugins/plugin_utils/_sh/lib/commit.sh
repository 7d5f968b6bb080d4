# Making a system the boot default. The move of the profile link is the commit point: before it everything rolls back,
# after it forward. The boot default is always $new itself, also where one of its specialisations, $new_live, is live.
# inputs: commit_limit secrets_limit mode only_secrets until_reboot
# needs: base boot_loader booted committed_live deployed_secrets health ended held_files lines on_disk open_marks process profile profile_back record reports_to_directory
# needs: said switch watch_units whose
# shellcheck shell=sh

# boot_files FILE: writes down what the boot loader has. A kernel has its store path in its name; small files are read.
boot_files() {
    limited "$commit_limit" find /boot /efi -type f ! -name '*.deploy-flake' \( -size -2048 -exec cksum {} + -o -exec stat -c '%s %n' {} + \) >"$1" 2>/dev/null
}

# boot_untouched: whether all that the boot loader had before the commit is there as it was. Then it boots what it booted,
# also where there was not one byte free to write the same once more.
boot_untouched() {
    grep -q -e '/loader/loader\.conf$' -e '/grub\.cfg$' -e '/extlinux\.conf$' "$dir/boot-files" 2>/dev/null || return 1
    boot_files "$dir/boot-files.now"
    lines_without "$dir/boot-files.now" <"$dir/boot-files" >"$dir/boot-files.gone" && [ ! -s "$dir/boot-files.gone" ]
}

not_on_disk="what the boot loader reads could not be brought to the disk in time, so a power cut may undo it"

# boot_default_ran: whether what is to start at the next reboot ran before this deployment. Only then is it a way back.
boot_default_ran() { if is_system_of "$previous_live" "$previous_boot" || runs_until_reboot "$previous_live"; then echo yes; else echo no; fi; }

commit() {
    local set_status
    may_commit || give_up superseded "somebody else has switched the host meanwhile"
    # What failed while the window was open counts as it does while the system settles.
    [ "$mode" = boot ] || { watched_long_enough && still_healthy; } || give_up "$code" "$complaint"
    # Nothing is written for it. What ends before its line is rolled back.
    [ "$until_reboot" != yes ] || {
        # To look at the units has taken its time.
        may_commit || give_up superseded "somebody else has switched the host meanwhile"
        ! loader_starts_another "$previous_boot" || give_up boot-loader "the next reboot would not lead to the boot default: $loader_why"
        boot_ran=$(boot_default_ran)
        finish_by_its_line until-reboot || give_up cannot-record "could not write its line to $var_dir/deployments.jsonl (is the disk full?)"
        return
    }
    # What is not tried live gets its secrets now; nothing is restarted.
    [ "$mode" = test ] || with_secrets place "$secrets_limit" || give_up "$code" "$complaint"
    with_secrets verify "$secrets_limit" || give_up "$code" "$complaint"
    [ "$only_secrets" = yes ] || boot_files "$dir/boot-files"
    mark_open confirmed || give_up cannot-record "could not write $var_dir/open.confirmed (is the disk full?)"
    if [ "$only_secrets" = yes ]; then
        finish committed
        return
    fi
    ask_loader
    # Any other boot loader's installer makes the new system the default at once: there the profile is moved first, so that a host that
    # loses power never boots a system that its profile does not name.
    [ "$loader" != systemd-boot ] || is_generation || try_loader
    # From the next state on an undo goes forward where the profile names the new system already.
    with_secrets verify "$secrets_limit" || give_up "$code" "$complaint"
    state commit-profile
    may_commit || give_up superseded "somebody else has switched the host meanwhile"
    begin_call boot || exit 1
    may_commit || {
        # Nothing was made by a call that never began.
        printf '' >"$dir/call"
        give_up superseded "somebody else has switched the host meanwhile"
    }
    for_profile "$commit_limit" nix-env -p "$profile" --set "$new"
    set_status=$status
    [ "$(boot_default)" = "$new" ] || give_up profile "the system profile could not be set: nix-env $(ended "$set_status" "$commit_limit")"
    end_call || exit 1
    finish_commit || exit 1
}

# is_generation: then systemd-boot's installer makes it the default at once, too; also where it is one of another profile, of which it writes
# entries as well.
is_generation() {
    local link
    for link in "$profile"-*-link "$profile"-profiles/*-link; do
        # shellcheck disable=SC3013 # of POSIX since 2024, and of every shell that is tested
        [ ! "$link" -ef "$new" ] || return 0
    done
    return 1
}

# try_loader: whether systemd-boot can be written; the boot default stays what the profile names.
try_loader() {
    state commit-check
    switch_to "$commit_limit" "$new" boot may_commit
    [ "$switch_status" != "$taken" ] || give_up superseded "somebody else has switched the host meanwhile"
    [ "$switch_status" = 0 ] || give_up boot-loader "the boot loader could not be prepared: switch-to-configuration boot $(ended "$switch_status" "$commit_limit")$(because)"
    # What is held needs room until then.
    [ -z "$held_by" ] || sync_boot_side "$commit_limit"
}

# names_new: the look before each step that follows the moved profile link.
names_new() { [ "$(boot_default)" = "$new" ] && may_commit; }

# finish_commit: from the moved profile link on.
finish_commit() {
    sync_systems "$commit_limit"
    state commit-boot
    switch_to "$commit_limit" "$new" boot names_new
    [ "$switch_status" = 0 ] || switch_to "$commit_limit" "$new" boot names_new
    [ "$switch_status" != "$taken" ] || {
        why superseded "somebody else has switched the host meanwhile"
        return 1
    }
    [ "$switch_status" = 0 ] || {
        why boot-loader "the boot loader could not be written: switch-to-configuration boot $(ended "$switch_status" "$commit_limit")$(because)"
        return 1
    }
    state commit-verify
    sync_boot_side "$commit_limit" || note "$not_on_disk"
    names_new || {
        why superseded "somebody else has switched the host meanwhile"
        return 1
    }
    ! loader_starts_another "$new" || {
        why boot-loader "switch-to-configuration boot has succeeded, and yet $loader_why"
        return 1
    }
    finish committed
}

# loader_starts_another SYSTEM: as far as its own files say. What they do not say is noted.
loader_starts_another() {
    local names
    names=0
    loader_names "$1" || names=$?
    [ "$names" != 2 ] || note "the boot loader's default is unknown: $loader_why"
    [ "$names" = 1 ]
}

# boot_is_ours: the look before each step back.
boot_is_ours() { ! boot_is_theirs; }

# boot_back LIMIT: profile and boot loader as they were. No, where they are not, or where the boot default is somebody else's by now.
boot_back() {
    local kept
    boot_is_ours || return 1
    put_profile_back || {
        why profile "the system profile could not be put back to $previous_boot"
        return 1
    }
    [ -n "$previous_boot" ] || return 0
    NIXOS_NO_CHECK=1
    export NIXOS_NO_CHECK
    switch_to "${1:-$commit_limit}" "$previous_boot" boot boot_is_ours
    [ "$switch_status" != "$taken" ] || return 1
    if [ "$switch_status" != 0 ]; then
        if boot_untouched || loader_names "$previous_boot"; then kept="not be written, and is as it was"; else kept="not be put back"; fi
        note "the boot loader could $kept: switch-to-configuration boot of $previous_boot $(ended "$switch_status" "$commit_limit")"
        [ "$kept" != "not be put back" ] || {
            ask_loader
            note "the boot loader starts ${loader_starts:-a system that is not known}, and the system profile is $(boot_default)"
            return 1
        }
    fi
    sync_boot_side "$commit_limit" || note "$not_on_disk"
    ! loader_starts_another "$previous_boot" || {
        note "switch-to-configuration boot of $previous_boot has succeeded, and yet $loader_why"
        return 1
    }
}
