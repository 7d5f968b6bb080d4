# Names of hosts.
# needs: base
# shellcheck shell=sh

# same_name NAME NAME: whether they mean one host. Case does not count, and one of them may have a domain.
same_name() {
    local one other
    [ "$1" != "$2" ] || return 0
    one=$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]')
    other=$(printf '%s' "$2" | tr '[:upper:]' '[:lower:]')
    [ "$one" = "$other" ] || [ "${one%%.*}" = "$other" ] || [ "$one" = "${other%%.*}" ]
}
