# What a deployment does about a system that is, or was, booted once to try it.
# inputs: until_reboot
# facts: new
# needs: base forget_trial profile reports_to_directory trial trial_outcome
# shellcheck shell=sh

# settle_trial: before a deployment. The one that makes a system that was booted once the boot default takes what is there;
# any other lets go of an earlier trial, and notes what has become of it. Fails where one is in progress.
settle_trial() {
    load_trial || return 0
    [ "$until_reboot" = yes ] || [ "$trial_new" != "$new" ] || [ "$(leads_to /run/booted-system)" != "$new" ] || return 0
    ! trial_in_progress || return 1
    [ "$(boot_default)" = "$trial_new" ] || note "$(trial_outcome)"
    forget_trial
}
