# A system that is booted once, to see whether it comes up: its durable record, /var/lib/deploy-flake/trial.json, one line a
# field. States: preparing, armed (the loader boots it next time, once), failed (it is over, and why says how).
# The record is there while the boot default is the old system; the commit of the new one ends it.
# needs: common boot_once record
# shellcheck shell=sh

trial_file=$var_dir/trial.json

# load_trial: the fields as trial_NAME; fails where there is none.
load_trial() {
    [ -e "$trial_file" ] || return 1
    for name in id state new old generation made loader entry boot_id started reboot_until until host_limit; do
        eval "trial_$name=\$(field_of $name \"\$trial_file\")"
    done
}

# note_trial STATE [WHY]: whole or not at all.
note_trial() {
    trial_state=$1
    {
        printf '{\n'
        for name in id state new old generation made loader entry boot_id started reboot_until until host_limit; do
            eval "json_field $name \"\$trial_$name\""
            printf ',\n'
        done
        json_field why "${2-}"
        printf '\n}\n'
    } >"$trial_file.new" && sync -f "$trial_file.new" && mv -f "$trial_file.new" "$trial_file" && sync -f "$var_dir"
}

# trial_under_way: a controller is at work on it, or may be: before the reboot, or while the new system runs. It ends by itself
# with its time.
trial_under_way() {
    case $trial_state in
    preparing | armed) ;;
    *) return 1 ;;
    esac
    [ "$(boot_default)" != "$trial_new" ] || return 1
    if [ "$(cat /proc/sys/kernel/random/boot_id)" = "$trial_boot_id" ]; then
        [ "$(date +%s)" -lt "${trial_reboot_until:-0}" ]
    else
        [ "$(readlink -f /run/booted-system)" = "$trial_new" ] && [ "$(date +%s)" -lt "${trial_until:-0}" ]
    fi
}

# trial_outcome: in words, what has become of a trial that nobody is at work on.
trial_outcome() {
    this_boot=$(cat /proc/sys/kernel/random/boot_id)
    booted=$(readlink -f /run/booted-system)
    if [ "$(boot_default)" = "$trial_new" ]; then
        echo "$trial_new was booted once and is the boot default now"
    elif [ "$trial_state" = failed ]; then
        echo "$trial_new was to be booted once, and was not kept: $(sed -n 's/^"why": "\(.*\)"$/\1/p' "$trial_file")"
    elif [ "$this_boot" = "$trial_boot_id" ]; then
        echo "$trial_new was to be booted once, and the host was never rebooted"
    elif [ "$booted" = "$trial_new" ]; then
        echo "$trial_new was booted once and runs; the next boot starts $trial_old, since nobody has made it the boot default"
    else
        echo "$trial_new was to be booted once, did not stay up or did not come up, and the host has booted $booted again"
    fi
}

# settle_trial: before a deployment. The one that makes a system that was booted once the boot default takes what is there;
# any other lets go of an earlier trial, and notes what has become of it. Fails where one is under way.
settle_trial() {
    load_trial || return 0
    [ "$trial_new" != "$new" ] || [ "$(readlink -f /run/booted-system)" != "$new" ] || return 0
    ! trial_under_way || return 1
    [ "$(boot_default)" = "$trial_new" ] || note "$(trial_outcome)"
    forget_trial
}

# forget_trial: lets go of the generation that was made for it, and of the entry that would be booted once. Whoever writes the
# boot loader next takes its entry away.
forget_trial() {
    loader=$trial_loader
    place_of_loader && not_once "$trial_entry"
    link=$profile-$trial_generation-link
    if [ "$trial_made" = yes ] && [ "$(readlink "$link")" = "$trial_new" ] && [ "$(readlink "$profile")" != "${link##*/}" ]; then
        rm -f "$link"
        sync -f "${profile%/*}"
    fi
    rm -f "$roots/deployment-trial-new" "$roots/deployment-trial-old"
    rmdir "$roots" 2>/dev/null
    rm -f "$trial_file" "$trial_file.new"
    sync -f "$var_dir"
}

# Only the tools are needed to take the choice of an entry back.
place_of_loader() {
    case $loader in
    grub) tool grub-editenv >/dev/null ;;
    systemd-boot) tool bootctl >/dev/null ;;
    *) return 1 ;;
    esac
}
