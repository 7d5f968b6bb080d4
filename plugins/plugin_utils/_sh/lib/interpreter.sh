# The shell that a unit runs a script with.
# shellcheck shell=sh

# find_interpreter: what a unit runs a script with, in $interpreter, which may be two words; /bin/sh itself may be another
# system's by the time that it is run.
find_interpreter() {
    interpreter=$(readlink -f /bin/sh)
    case $interpreter in */busybox) interpreter="$interpreter sh" ;; esac
}
