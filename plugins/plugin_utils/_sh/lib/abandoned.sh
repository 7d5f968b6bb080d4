# Directories of units that nobody waits for any more: their controllers were killed.
# needs: base
# shellcheck shell=sh

# drop_abandoned KIND MINUTES: those of so long ago and more, and whose units are gone.
drop_abandoned() {
    local old
    for old in "$run_dir/$1"-*; do
        # One that is just beginning is no old one, whatever its unit.
        [ -d "$old" ] && [ -n "$(find "$old" -maxdepth 0 -mmin "+$2")" ] || continue
        # Where systemd does not answer, it may well be in progress.
        case $(sc show -p ActiveState --value "deploy-flake-${old##*/}.service" 2>/dev/null) in
        inactive | failed) rm -rf "$old" ;;
        esac
    done
}
