# Which system a host rolls back to: $rollback_to is `previous`, the number of a generation, or `toplevel` where $new is the system.
# inputs: rollback_to
# needs: base generations profile
# shellcheck shell=sh

# choose_target: sets $new, and says what it is.
choose_target() {
    local chosen
    chosen=
    if [ "$rollback_to" != toplevel ]; then
        require_generation "$rollback_to"
        new=$(readlink -f "$profile-$chosen-link")
    fi
    answer toplevel "$new"
    answer generation_from "$(current_generation)"
    answer generation_to "$chosen"
}
