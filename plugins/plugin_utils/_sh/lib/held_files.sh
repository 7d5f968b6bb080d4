# Where a new file takes the name of an old one, FAT frees what the old one has at once, and gives the name to the new one seconds later. A power
# cut between the two leaves a name of what is free: a firmware may read it or not, and `fsck.fat -a`, which NixOS runs at each boot, makes an empty
# file of it. What a process has open is not freed.
# needs: base
# shellcheck shell=sh

held_by=

# hold_files FILE…: those that are there, until let_go_of_files. One process holds them all; it ends with this one.
hold_files() {
    local self
    # A subshell has a number of its own.
    read -r self _ </proc/self/stat
    # By exec, since what is redirected for a function alone stays open beside it.
    (
        exec >/dev/null 2>&1 7>&- 8>&- 9>&-
        hold "$@"
    ) &
    held_by="$held_by $!"
}

# hold FILE…: each is the standard input of one more call, and so stays open in the calls behind it.
hold() {
    local file
    if [ $# = 0 ]; then
        # One that has ended and that nobody has waited for has no program any more.
        while [ -e "/proc/$self/exe" ]; do sleep 1; done
        exit
    fi
    file=$1
    shift
    hold "$@" <"$file" || hold "$@"
}

# let_go_of_files: once their names are the new ones' on the disk, too.
let_go_of_files() {
    local parent process self
    read -r self _ </proc/self/stat
    for process in $held_by; do
        # Somebody may have ended it, and its number be another one's; or it is of the shell that this is a subshell of.
        parent=
        { read -r _ _ _ parent _ <"/proc/$process/stat"; } 2>/dev/null
        [ "$parent" = "$self" ] || continue
        kill "$process"
        wait "$process"
    done 2>/dev/null
    held_by=
}
