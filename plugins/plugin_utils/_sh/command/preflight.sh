# Looks whether there is anything to do on the host, and whether that may be tried. command/start then starts it: what runs in the
# deployment's units is sent only where it is needed. begins: whether that comes next. settings: what check mode's program has to
# know, as assignments.
# inputs: new begins
# inputs where check_mode=yes: id settings check_mode_program check_mode_limit diff
# programs of units: check_mode_program=check_mode
# settings of units: settings=check_mode
# needs: base busy check_mode preflight rollback_target roots
# shellcheck shell=sh

main() {
    local boot_id
    answer_begin
    require_root
    require_tools
    [ -z "$rollback_to" ] || choose_target
    preflight
    [ "$check_mode" = no ] || answer_free_space
    look_at_host
    # Before a deployment begins, command/start looks.
    [ "$begins" = yes ] || refuse_if_busy
    # Check mode starts nothing, and lets go of the roots; a deployment that is about to begin keeps those of the build.
    [ "$check_mode" = no ] || { answer_for_check_mode; drop_all_roots; exit 0; }
    read -r boot_id </proc/sys/kernel/random/boot_id
    answer boot_id "$boot_id"
}

main </dev/null
exit
