# How a command that switches the host has ended.
# needs: process
# shellcheck shell=sh

# What switch_to ends with where somebody else has switched the host before its turn came; no status of switch-to-configuration.
taken=199

# ended STATUS LIMIT: in words.
ended() {
    case $1 in
    "$taken") echo "was not run, since somebody else has switched the host" ;;
    137) echo "was killed (status 137; out of memory?)" ;;
    143) echo "was told to end by somebody (status 143)" ;;
    *) if out_of_time "$1"; then echo "did not end within $2 s"; else echo "exited $1"; fi ;;
    esac
}
