# The host's own tools.
# needs: base
# shellcheck shell=sh

# tools_work: every limit rests on this one; one that does nothing would make all commands look as if they had worked.
tools_work() { [ "$(timeout -k 5 20 echo yes)" = yes ] && [ "$(readlink -f /proc/self/cwd)" != "" ]; }

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
