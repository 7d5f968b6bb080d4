# Values as a shell reads them back.
# shellcheck shell=sh

# quote VALUE: as a word of a shell.
quote() {
    case $1 in
    *"'"*) printf "'" && printf '%s' "$1" | sed "s/'/'\\\\''/g" && printf "'" ;;
    *) printf "'%s'" "$1" ;;
    esac
}

# fact NAME VALUE: as an assignment, for a file that a shell reads. No, if it could not be written whole.
fact() {
    printf '%s=' "$1" && quote "$2" && echo
}
