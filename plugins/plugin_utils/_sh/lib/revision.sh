# From which revision of its configuration a system was made.
# shellcheck shell=sh

# revision_of SYSTEM: nothing where it does not know, and on releases before 22.05, whose nixos-version says its version to whatever it is asked.
revision_of() {
    local revision
    [ -n "$1" ] || return 0
    revision=$(timeout -k 5 10 "$1/sw/bin/nixos-version" --configuration-revision 2>/dev/null) || return 0
    case $revision in
    # 25.11.20260102.ac62194 (Xantusia)
    *' ('*')') ;;
    *) printf '%s\n' "$revision" ;;
    esac
}
