# Free space on the file systems that a system needs.
# sets: free space_helps total
# needs: base
# shellcheck shell=sh

# shellcheck disable=SC2034 # not every script that looks says so
space_helps="free some with the playbook generations, with deploy_flake_collect_garbage"

# free_kib DIRECTORY: what is free there, in $free, and what there is, in $total; nothing in $free, where that is not known. A
# name with /. at its end is mounted first, where that is done on demand; but not everybody may look into it.
free_kib() {
    local said
    said=$(df -P -k "$1/." 2>/dev/null || df -P -k "$1" 2>/dev/null)
    set -f
    # Below the line with the titles.
    # shellcheck disable=SC2086 # words
    set -- ${said#*"$newline"}
    set +f
    free=${4-}
    total=${2-}
    case $free in *[!0-9]*) free= ;; esac
}

# no_unit UNIT SAID: why systemd could not start it, as text. Where /run is full it says that there is no such unit.
no_unit() {
    free_kib /run
    printf 'systemd could not start %s: %s' "$1" "$2"
    [ "${free:-1024}" -ge 1024 ] || printf ' (/run is full: %s KiB are free)' "$free"
}
