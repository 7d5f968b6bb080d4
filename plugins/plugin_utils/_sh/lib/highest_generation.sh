# The number that the next generation of the system profile is above.
# needs: base
# shellcheck shell=sh

highest_generation() {
    local highest link number
    highest=0
    for link in "$profile"-*-link; do
        number=${link#"$profile"-}
        number=${number%-link}
        case $number in
        # One that Nix has made has not that many digits, and a shell cannot compare them.
        '' | *[!0-9]* | ??????????*) ;;
        *) [ "$number" -le "$highest" ] || highest=$number ;;
        esac
    done
    echo "$highest"
}
