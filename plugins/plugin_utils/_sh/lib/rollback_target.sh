# Which system a host rolls back to: $rollback_to is `previous`, the number of a generation, or `toplevel` where $new is the system.
# inputs: rollback_to
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
    local made number
    generations | tail -n 20 | while read -r number; do
        made=$(stat -c %y "$profile-$number-link" | cut -c 1-16)
        [ "$number" != "$from" ] || made="$made, the boot default"
        printf '%s\n' "$number ($made)"
    done | paste -s -d , - | sed 's/,\([0-9]\)/, \1/g'
}

# choose_target: sets $new, and says what it is. Of the generations below the boot default the highest one with another
# system: the same system again would be no rollback.
choose_target() {
    local chosen from number there wanted
    from=$(current_generation)
    chosen=
    case $rollback_to in
    toplevel) ;;
    previous)
        for number in $(generations); do
            [ -n "$from" ] && [ "$number" -lt "$from" ] || break
            [ "$(readlink -f "$profile-$number-link")" = "$(boot_default)" ] || chosen=$number
        done
        ;;
    *) [ ! -L "$profile-$rollback_to-link" ] || chosen=$rollback_to ;;
    esac
    if [ -n "$chosen" ]; then
        new=$(readlink -f "$profile-$chosen-link")
    elif [ "$rollback_to" != toplevel ]; then
        case $rollback_to in
        previous) wanted="generation before its boot default that has another system" ;;
        *) wanted="generation $rollback_to" ;;
        esac
        there=$(list_generations)
        refuse no-generation "has no $wanted; it has ${there:-none}"
    fi
    answer toplevel "$new"
    answer generation_from "$from"
    answer generation_to "$chosen"
}
