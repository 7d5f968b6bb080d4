# Activating the new system.
# inputs: activate_limit
# facts: new_live
# needs: activation ended reports_to_directory said switch units whose
# shellcheck shell=sh

# switch_live: activates the new system. In $test_status what the call has exited with: 0, 4 or 100.
switch_live() {
    begin_call live || exit 1
    # Our own limit counts from the first byte of `test`.
    switch_to "$activate_limit" "$new_live" test nobody_else_has_switched
    test_status=$switch_status
    case $test_status in
    0) ;;
    4)
        # Its own reasons. The code may hide an activation that failed, and may be about units or users that are allowed to fail.
        hear || give_up cannot-record "could not read what switch-to-configuration test has said"
        nobody_else_has_switched || give_up superseded "somebody else has switched the host meanwhile"
        ! activation_failed $((began + activate_limit)) nobody_else_has_switched || {
            nobody_else_has_switched || give_up superseded "somebody else has switched the host meanwhile"
            failed_units >"$dir/failed"
            give_up activation "the activation script of the new system failed, behind a switch-to-configuration test that exited 4$activation_failure"
        }
        ;;
    100)
        needs_reboot status-100 "switch-to-configuration test exited 100"
        return
        ;;
    "$taken")
        # What is live now was not made by a call that never began.
        [ "$switch_runs" != 0 ] || printf '' >"$dir/call"
        give_up superseded "somebody else has switched the host meanwhile"
        ;;
    *)
        failed_units >"$dir/failed"
        give_up activation "switch-to-configuration test $(ended "$test_status" "$activate_limit")$(because)"
        ;;
    esac
    end_call || exit 1
}
