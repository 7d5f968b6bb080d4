# The system profile: what the host boots by default.
# needs: base
# shellcheck shell=sh

boot_default() { [ ! -e "$profile" ] || leads_to "$profile"; }

current_generation() {
    local link
    link=$(readlink "$profile" 2>/dev/null) || link=
    case $link in
    "${profile##*/}"-*-link) link=${link#"${profile##*/}-"} && echo "${link%-link}" ;;
    esac
}
