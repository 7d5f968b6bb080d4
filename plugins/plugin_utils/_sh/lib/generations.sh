# The generations of the system profile.
# needs: base profile
# shellcheck shell=sh

# generations: the numbers of those that the system profile has, the lowest first.
generations() {
    local link number
    for link in "$profile"-*-link; do
        [ -L "$link" ] || continue
        number=${link#"$profile"-}
        number=${number%-link}
        case $number in
        '' | *[!0-9]*) ;;
        *) echo "$number" ;;
        esac
    done | sort -n
}

# What there is to choose from, the latest of it.
list_generations() {
    local default made number
    default=$(current_generation)
    generations | tail -n 20 | while read -r number; do
        made=$(stat -c %y "$profile-$number-link" | cut -c 1-16)
        [ "$number" != "$default" ] || made="$made, the boot default"
        printf '%s\n' "$number ($made)"
    done | paste -s -d , - | sed 's/,\([0-9]\)/, \1/g'
}

# previous_generation: of those below the boot default the highest one with another system: the same system again would be no rollback.
previous_generation() {
    local chosen default number
    chosen=
    default=$(current_generation)
    for number in $(generations); do
        [ -n "$default" ] && [ "$number" -lt "$default" ] || break
        [ "$(leads_to "$profile-$number-link")" = "$(boot_default)" ] || chosen=$number
    done
    echo "$chosen"
}

# require_generation WORD: the number that it is, or that of `previous`, in $chosen.
require_generation() {
    local there wanted
    chosen=
    case $1 in
    previous)
        chosen=$(previous_generation)
        wanted="generation before its boot default that has another system"
        ;;
    *)
        [ ! -L "$profile-$1-link" ] || chosen=$1
        wanted="generation $1"
        ;;
    esac
    [ -z "$chosen" ] || return 0
    there=$(list_generations)
    refuse no-generation "has no $wanted; it has ${there:-none}"
}
