# The system profile: what the host boots by default, and its generations.
# needs: base
# shellcheck shell=sh

boot_default() { [ ! -e "$profile" ] || readlink -f "$profile"; }

current_generation() {
    local link
    link=$(readlink "$profile" 2>/dev/null) || link=
    case $link in
    system-*-link) link=${link#system-} && echo "${link%-link}" ;;
    esac
}

highest_generation() {
    local highest link number
    highest=0
    for link in "$profile"-*-link; do
        number=${link#"$profile"-}
        number=${number%-link}
        case $number in
        '' | *[!0-9]*) ;;
        *) [ "$number" -le "$highest" ] || highest=$number ;;
        esac
    done
    echo "$highest"
}
