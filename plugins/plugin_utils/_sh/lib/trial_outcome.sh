# What has become of a trial.
# needs: profile trial
# shellcheck shell=sh

# trial_outcome: in words, what has become of a trial that is not in progress.
trial_outcome() {
    local booted this_boot
    this_boot=$(cat /proc/sys/kernel/random/boot_id)
    booted=$(leads_to /run/booted-system)
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
