# What the two units of a deployment run: program supervise|undo|guard DIRECTORY.
# needs: base directory guard process supervise undo
# shellcheck shell=sh

# end_guard: the shell itself, which ends the unit; one that has lost a child first would say so in the journal.
end_guard() { [ "$1" != "$guard_process" ] || kill -TERM "$1" 2>/dev/null; }

main() {
    local result
    load "$2" || exit 1
    guard_unit=deploy-flake-guard-$id.service
    case $1 in
    supervise) supervise ;;
    undo)
        read_line "$dir/guard"
        guard_process=$line
        undo
        result=$?
        # As ExecStopPost: the guard's work is done as well. It would find that out by itself, a moment later.
        [ "$result" != 0 ] || [ -z "${SERVICE_RESULT-}" ] || [ "$facts" = no ] || each_process "${cgroup%/*}/$guard_unit" end_guard
        exit "$result"
        ;;
    guard) guard ;;
    esac
}

main "$@"
exit
