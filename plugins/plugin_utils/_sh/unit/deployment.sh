# What the two units of a deployment run: program supervise|undo|guard|guard-again DIRECTORY.
# needs: base directory guard process soft_reboot states supervise undo
# shellcheck shell=sh

main() {
    local result
    load "$2" || exit 1
    guard_unit=deploy-flake-guard-$id.service
    generator=/run/systemd/system-generators/deploy-flake-$id
    case $1 in
    supervise) supervise ;;
    undo)
        read_line "$dir/guard"
        guard_process=$line
        undo
        result=$?
        # Its end could not be written: once more, as long as that takes.
        [ "$result" != 0 ] || [ ! -e "$dir/settings" ] || { read_line "$dir/state" && is_final "$line"; } || result=1
        # As ExecStopPost: the guard's work is done as well. It would find that out by itself, a moment later.
        [ "$result" != 0 ] || [ -z "${SERVICE_RESULT-}" ] || [ "$facts" = no ] || each_process "${cgroup%/*}/$guard_unit" end_guard
        exit "$result"
        ;;
    guard) guard ;;
    guard-again) guard_again ;;
    esac
}

main "$@"
exit
