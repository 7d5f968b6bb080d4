# What the two units of a deployment run: program supervise|undo|guard DIRECTORY.
# shellcheck shell=sh

main() {
    load "$2" || exit 1
    guard_unit=deploy-flake-guard-$id.service
    case $1 in
    supervise) supervise ;;
    undo)
        undo
        result=$?
        # As ExecStopPost: the guard's work is done as well.
        [ "$result" != 0 ] || [ -z "${SERVICE_RESULT-}" ] || timeout -k 5 30 systemctl stop --no-block "$guard_unit" 2>/dev/null
        exit "$result"
        ;;
    guard) guard ;;
    esac
}

main "$@"
exit
