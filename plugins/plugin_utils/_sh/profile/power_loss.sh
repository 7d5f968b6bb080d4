# Which way a deployment of a profile goes that a power loss has interrupted. What an activation has written is still there, so a reboot alone
# brings nothing back.
# inputs: rollback_limit activate_limit
# facts: new new_live
# needs: base commit open_marks profile reports_to_directory switch ways_back
# shellcheck shell=sh

# forward_after_power_loss: where the profile has moved. What was written in the last moment may be lost, so it is written once more.
forward_after_power_loss() {
    is_marked confirmed && [ "$(boot_default)" = "$new" ] || return 1
    switch_to "$activate_limit" "$new_live" test : || note "the new generation, which was confirmed, could not be activated once more: $(last_words)"
    return 0
}

# is_back_after_power_loss: whether the profile is as it was, and what it names is live.
is_back_after_power_loss() {
    boot_back || return 1
    previous_live=$previous_boot
    take_back || { why activation "the previous generation could not be activated after the power loss: $(last_words)" && return 1; }
}
