# Activating the new generation.
# inputs: activate_limit
# facts: new_live
# needs: base ended live reports_to_directory switch units whose
# shellcheck shell=sh

# switch_live: in $test_status what it has ended with, which is 0.
switch_live() {
    note_live "$new_live" || give_up cannot-record "could not write $live_link (is the disk full?)"
    begin_call live || exit 1
    switch_to "$activate_limit" "$new_live" test nobody_else_has_switched
    test_status=$switch_status
    case $test_status in
    0) printf '' >"$dir/activated" ;;
    "$taken")
        printf '' >"$dir/call"
        # Nothing was activated.
        forget_live
        give_up superseded "somebody else has moved the profile meanwhile"
        ;;
    *)
        failed_units >"$dir/failed"
        give_up activation "the activation of the new generation failed ($(ended "$test_status" "$activate_limit"))$(because)"
        ;;
    esac
    end_call || exit 1
}
