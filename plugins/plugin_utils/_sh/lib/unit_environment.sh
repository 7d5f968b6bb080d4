# How a unit says what it is about.
# needs: base
# shellcheck shell=sh

# unit_environment NAME UNIT: the value of an environment variable that the unit was started with, if it was; one word.
unit_environment() (
    set -f
    for word in $(sc show -p Environment --value -- "$2" 2>/dev/null); do
        case $word in "$1="*) printf '%s\n' "${word#*=}" && exit ;; esac
    done
)
