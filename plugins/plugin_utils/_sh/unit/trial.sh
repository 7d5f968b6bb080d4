# Prepares a boot that is tried once, or ends one. Runs as deploy-flake.service, whose name is the lock, so that no deployment is
# in progress meanwhile and a lost connection ends nothing. Its answer is a file. Arguments: the directory, and
# look (which changes nothing), prepare, unchoose, failed or end.
# inputs: id new commit_limit prepare_limit keep_limit host_limit pre_activate_script why
# needs: base boot_choice boot_once complain durable forget_trial highest_generation log note_trial on_disk profile switch tools
# needs: trial trial_outcome
# shellcheck shell=sh disable=SC1091

# stop_here REASON MESSAGE: whatever was done is taken back first.
stop_here() {
    if [ "${begun-}" = yes ]; then
        forget_trial
        write_entries_of_default || set -- "$1" "$2; and its boot loader could not be written again as it was (switch-to-configuration boot of $trial_old $(ended "$switch_status" "$commit_limit")): before a reboot, mend it and run '$profile/bin/switch-to-configuration boot'"
    fi
    refuse "$@"
}

# The boot default's own program writes entries for every generation, and leaves the boot default what it is.
write_entries_again() {
    NIXOS_NO_CHECK=1
    export NIXOS_NO_CHECK
    switch_to "$commit_limit" "$trial_old" boot is_still_default
    sync_boot_side "$commit_limit"
    # Between the look and the call somebody else has moved it, and may have written the boot loader before us.
    [ "$switch_status" != 0 ] || is_still_default || switch_status=$taken
    [ "$switch_status" = 0 ]
}

# write_entries_of_default: of what is the boot default by now, which somebody else may have moved; once more where they do so meanwhile.
write_entries_of_default() {
    trial_old=$(boot_default)
    write_entries_again && return
    [ "$switch_status" = "$taken" ] || return 1
    trial_old=$(boot_default)
    write_entries_again
}

# is_still_default: the look before the boot loader is written. Whoever held the lock may have made another system the boot default.
# shellcheck disable=SC2317 # by switch_to
is_still_default() { [ "$(boot_default)" = "$trial_old" ]; }

# look: what has to be so before a system can be booted once. Changes nothing.
look() {
    trial_old=$(boot_default)
    may_begin || refuse "$code" "$complaint"
    find_loader "$trial_old" || refuse "$code" "cannot boot a system once: $complaint"
    is_default "$trial_old" || refuse other-default "is not as it should be: its boot loader would not start the boot default $trial_old; run '$profile/bin/switch-to-configuration boot' on it first"
    can_boot_once || refuse "$code" "cannot boot a system once: $complaint"
}

prepare() {
    local returns wanted
    if load_trial; then
        ! trial_in_progress || refuse busy "another system is being booted once to try it: $trial_new, since $trial_started"
        answer earlier "$(trial_outcome)"
        forget_trial
    fi
    look
    run_checks
    trial_id=$id trial_new=$new trial_loader=$loader trial_entry='' trial_started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    trial_boot_id=$(cat /proc/sys/kernel/random/boot_id)
    trial_reboot_until=$(($(date +%s) + prepare_limit))
    trial_until=$((trial_reboot_until + host_limit + keep_limit))
    trial_host_limit=$host_limit
    root_systems || refuse no-space "could not write to $roots, or has lost $new or $trial_old meanwhile"
    make_generation
    write_entries_again || {
        [ "$switch_status" != "$taken" ] || stop_here superseded "was switched by somebody else meanwhile: it boots $(boot_default), and no more $trial_old"
        stop_here no-entry "could not write a boot entry for $new: switch-to-configuration boot of $trial_old exited $switch_status; $(last_words)"
    }
    is_default "$trial_old" || stop_here no-entry "would not boot $trial_old by default any more once there is an entry for $new (does the boot loader keep one entry alone?)"
    trial_entry=$(entry_of "$new" "$trial_generation")
    [ -n "$trial_entry" ] || stop_here no-entry "has no boot entry for $new, though switch-to-configuration boot of $trial_old has succeeded"
    # Whoever has prepared it reboots at once.
    trial_reboot_until=$(($(date +%s) + 120))
    trial_until=$((trial_reboot_until + host_limit + keep_limit))
    note_trial armed || stop_here no-space "could not write $trial_file"
    boot_once "$trial_entry" || stop_here "$code" "cannot boot a system once: $complaint"
    answer generation "$trial_generation"
    # Whether the new system reboots by itself into the old one where nobody can reach it.
    returns=no
    for wanted in "$new"/etc/systemd/system/*.wants/deploy-flake-trial.service; do
        [ ! -e "$wanted" ] && [ ! -L "$wanted" ] || returns=yes
    done
    answer returns "$returns"
}

# may_begin: whether the host is as it has to be; complains where not.
may_begin() {
    [ ! -e "$run_dir/current" ] && [ ! -e "$var_dir/open.json" ] || { complain busy "has an unfinished deployment; the next deployment repairs it"; return; }
    [ -n "$trial_old" ] && [ -x "$trial_old/bin/switch-to-configuration" ] || { complain no-default "has no boot default to roll back to"; return; }
    [ "$trial_old" != "$new" ] || { complain is-default "boots $new already; there is nothing else that it could roll back to"; return; }
    # The shell's own test may only look at the mode.
    "$(tool test)" -w /boot ||
        complain boot-read-only "has no /boot that can be written to (is the boot partition mounted?)"
}

# The closure's own check, before anything is changed.
run_checks() {
    [ -n "$pre_activate_script" ] && [ -x "$new/$pre_activate_script" ] || return 0
    logged 60 "$new/$pre_activate_script" ||
        refuse unsafe "refuses the new system: its $pre_activate_script exited $status; $(last_words)"
}

root_systems() {
    mkdir -p "$roots" && ln -sfn "$new" "$roots/deployment-trial-new" && ln -sfn "$trial_old" "$roots/deployment-trial-old" &&
        nix-store --check-validity "$new" "$trial_old" && sync -f "$roots"
}

# The link of the profile itself never moves here: wherever the power fails, it names a system that was confirmed. The number is
# the one that nix-env gives next, so the commit of the same system takes this very generation.
make_generation() {
    trial_generation=$(highest_generation)
    trial_made=no
    begun=yes
    if [ "$(readlink "$profile-$trial_generation-link")" != "$new" ]; then
        trial_generation=$((trial_generation + 1))
        trial_made=yes
        note_trial preparing || stop_here no-space "could not write $trial_file"
        # Somebody else has just made one of that number: theirs stays.
        ln -s "$new" "$profile-$trial_generation-link" || {
            trial_made=no
            stop_here no-space "could not make generation $trial_generation of the system profile"
        }
    else
        note_trial preparing || stop_here no-space "could not write $trial_file"
    fi
    sync -f "${profile%/*}"
}

# over STATE: the trial of this system has ended, whoever began it. failed: its entry goes away, and why is kept for whoever
# asks next.
over() {
    load_trial && [ "$trial_new" = "$new" ] || return 0
    if [ "$trial_state" = failed ]; then
        # The new system has rolled back by itself, and knows better why.
        why=$(field_of why "$trial_file")
        answer why "$why"
    fi
    forget_trial
    [ "$1" = failed ] || return 0
    trial_made=no trial_entry=''
    note_trial failed "$why"
    write_entries_of_default || answer entries "its boot loader still has an entry for $trial_new (switch-to-configuration boot of $trial_old $(ended "$switch_status" "$commit_limit"))"
}

main() {
    dir=$1
    . "$dir/settings.sh"
    cd /
    open_log log
    (
        case $2 in
        look)
            ! load_trial || ! trial_in_progress || refuse busy "another system is being booted once to try it: $trial_new, since $trial_started"
            look
            ;;
        prepare) prepare ;;
        unchoose) ! load_trial || { loader=$trial_loader && not_once "$trial_entry"; } ;;
        *) over "$2" ;;
        esac
        exit 0
    ) >"$dir/result.new"
    mv -f "$dir/result.new" "$dir/result"
}

main "$@"
exit
