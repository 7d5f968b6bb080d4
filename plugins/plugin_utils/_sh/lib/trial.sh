# A system that is booted once, to see whether it comes up: its durable record, /var/lib/deploy-flake/trial.json, one line a
# field. States: preparing, armed (the loader boots it next time, once), failed (it is over, and why says how).
# The record is there while the boot default is the old system; the commit of the new one ends it.
# sets: trial_id trial_state trial_new trial_old trial_generation trial_made trial_loader trial_entry trial_boot_id trial_started
# sets: trial_reboot_until trial_until trial_host_limit
# needs: base durable profile
# shellcheck shell=sh

trial_file=$var_dir/trial.json

# load_trial: the fields as trial_NAME; fails where there is none.
load_trial() {
    local name
    [ -e "$trial_file" ] || return 1
    for name in id state new old generation made loader entry boot_id started reboot_until until host_limit; do
        eval "trial_$name=\$(field_of $name \"\$trial_file\")"
    done
}

# trial_in_progress: a controller is about it, or may be: before the reboot, or while the new system runs. It ends by itself
# with its time.
trial_in_progress() {
    case $trial_state in
    preparing | armed) ;;
    *) return 1 ;;
    esac
    [ "$(boot_default)" != "$trial_new" ] || return 1
    if [ "$(cat /proc/sys/kernel/random/boot_id)" = "$trial_boot_id" ]; then
        [ "$(date +%s)" -lt "${trial_reboot_until:-0}" ]
    else
        [ "$(leads_to /run/booted-system)" = "$trial_new" ] && [ "$(date +%s)" -lt "${trial_until:-0}" ]
    fi
}
