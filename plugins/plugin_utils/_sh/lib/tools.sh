# The host's own tools.
# shellcheck shell=sh

# tool NAME: its path, where the shell would say that it is a builtin.
tool() {
    local at old_ifs
    old_ifs=$IFS
    IFS=:
    for at in $PATH; do
        [ ! -x "$at/$1" ] || { IFS=$old_ifs && echo "$at/$1" && return; }
    done
    IFS=$old_ifs
    return 1
}
