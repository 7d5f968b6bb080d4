# What every script on the host begins with. Nothing runs here.
# sets: line uptime
# needs: path place
# shellcheck shell=sh

export LC_ALL PATH
umask 077

# shellcheck disable=SC2034 # no script uses all of them
{
    run_dir=/run/deploy-flake
    # Its name is the lock: one deployment at a time is in progress on a host.
    unit=deploy-flake.service
    newline='
'
}

# Answers are fields "name NUL value NUL" behind a marker, so that no byte of a value can be mistaken for structure.
# The line on standard error is for a controller that loses the connection later on: it tells that the host was there.
answer_begin() {
    echo "deploy-flake has begun" >&2
    printf '\001deploy-flake\001'
}

answer() { printf '%s\0%s\0' "$1" "$2"; }

# recorded_lines: of the deployments that have ended. Of one that a power loss has cut off ext4 may have the length and not the bytes: with zeros
# in it a file is no text to grep. What stands on both sides of them is no line together.
recorded_lines() { [ ! -r "$var_dir/deployments.jsonl" ] || tr -s '\000' '\n' <"$var_dir/deployments.jsonl"; }

# refuse CODE MESSAGE: the one way in which a script says no.
refuse() { answer refused "$1"; answer message "$2"; exit 0; }

# clock: whole seconds since the boot, in $uptime. No wall clock, which may be set meanwhile; no fork.
clock() { read -r uptime _ </proc/uptime && uptime=${uptime%.*}; }

# With PID 1 frozen, systemctl blocks for ever. It holds no lock of ours (9), which would outlive the shell.
sc() { timeout -k 5 30 systemctl --no-pager "$@" 8>&- 9>&-; }

# read_line FILE: its first line, nothing if it is not there; no fork.
read_line() { line=; if [ -e "$1" ]; then read -r line <"$1" || :; fi; }

# leads_to LINK: where in the end; without a program where that is a directory, as a system is. To be called in a process of its own: $(leads_to …).
leads_to() { [ -n "$1" ] && cd -P "$1" 2>/dev/null && pwd || readlink -f "$1"; }

# require_root: no process is started for the answer that nearly all scripts get.
require_root() {
    local key me
    while read -r key _ me _; do
        [ "$key" != Uid: ] || break
    done </proc/self/status
    [ "$me" = 0 ] || refuse not-root "needs root on the host, and is $(timeout -k 5 20 id -un)"
}
