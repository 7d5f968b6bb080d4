# The unit that erases and installs: whether it is at work, and whose turn it is to start it or to end what it has left.
# needs: base
# shellcheck shell=sh

install_unit=deploy-flake-install.service

# in_progress: unless systemd says that it is over. Who does not answer has not said so.
in_progress() {
    case $(sc show -p ActiveState --value -- "$install_unit" 2>/dev/null) in
    inactive | failed) return 1 ;;
    *) return 0 ;;
    esac
}

# take_turn: until descriptor 8 is closed nobody else starts one, or reboots.
take_turn() {
    exec 8<"$run_dir"
    flock -w 60 8 || refuse no-lock "has been starting an installation for another controller for more than 60 s"
}
