# Which system a host rolls back to: $rollback_to is `previous`, the number of a generation, or `toplevel` where $new is the system.
# inputs: rollback_to
# needs: base committed_live generations profile
# shellcheck shell=sh

# choose_target: sets $new, and says what it is.
choose_target() {
    local chosen
    chosen=
    if [ "$rollback_to" != toplevel ]; then
        # Before what was to run until the next reboot comes what boots.
        [ "$rollback_to" != previous ] || ! runs_until_reboot "$(leads_to /run/current-system)" || chosen=$(current_generation)
        [ -n "$chosen" ] || require_generation "$rollback_to"
        new=$(leads_to "$profile-$chosen-link")
    fi
    answer toplevel "$new"
    answer generation_from "$(current_generation)"
    answer generation_to "$chosen"
}
