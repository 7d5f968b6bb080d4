# Looks whether there is anything to do on the host, and whether that may be tried. launch.sh then starts it: what runs in the
# deployment's units is sent only where it is needed.
# From the controller: what look.sh wants, and begins: whether launch.sh comes next. look.sh, room.sh and others.sh come before this,
# for a rollback target.sh, in check mode look_ahead.sh too.
# inputs: new begins
# inputs where check_mode=yes: id settings foresee foresee_limit diff
# needs: base busy check_mode look_first rollback_target roots
# shellcheck shell=sh

main() {
    local boot_id
    answer_begin
    require_root
    require_tools
    [ -z "$rollback_to" ] || choose_target
    look_first
    [ "$check_mode" = no ] || answer_room
    look_at_host
    # Before a deployment begins, launch.sh looks.
    [ "$begins" = yes ] || others_at_work
    # Check mode starts nothing, and lets go of the roots; a deployment that is about to begin keeps those of the build.
    [ "$check_mode" = no ] || { look_ahead; drop_all_roots; exit 0; }
    read -r boot_id </proc/sys/kernel/random/boot_id
    answer boot_id "$boot_id"
}

main </dev/null
exit
