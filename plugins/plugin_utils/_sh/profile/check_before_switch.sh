# What is checked before anything is activated.
# inputs: check_limit pre_activate_script
# facts: new_live
# needs: base ended hook kind log profile_owner reports_to_directory
# shellcheck shell=sh

check_before_switch() {
    hook "$pre_activate_script" || stop_unchanged pre-activate-script "$pre_activate_script of the new generation exited $status: activation would not be safe"
    # For its first generation.
    for_profile "$check_limit" mkdir -p "${profile%/*}" || stop_unchanged profile "the directory of $profile cannot be made: $(last_words)"
    check_generation "$check_limit" "$new_live" || stop_unchanged pre-switch-checks "the new generation's own checks failed: $(last_words)($(ended "$status" "$check_limit"))"
}
