# Which units the new system brought, or has others of.
# facts: new_live previous_live
# needs: base fstab lines process
# shellcheck shell=sh

# unit_file_in SYSTEM UNIT: in $unit_file; no, if the system does not have it, or masks it.
unit_file_in() {
    unit_file=$1/etc/systemd/system/$2
    [ ! -f "$unit_file" ] || return 0
    case $2 in *@*.*) unit_file=$1/etc/systemd/system/${2%%@*}@.${2##*.} ;; esac
    [ -f "$unit_file" ]
}

# list_only_new: units that are active, were not before, and that the previous system does not have. From a list of those that are active now.
# No, where nobody could look.
# Automounts come first: as long as they are there their mounts come again. One that has ended is there as long as it keeps its directory.
list_only_new() {
    local name
    autofs_here >"$dir/autofs" && { sed -n 's/^bare \([^ ]*\) .*/\1/p' "$dir/autofs" && cat "$dir/active-now"; } >"$dir/here" &&
        awk '!seen[$0]++' "$dir/here" >"$dir/here-once" && lines_without "$dir/active" <"$dir/here-once" >"$dir/came" || return 1
    while read -r name; do
        ! came_with_the_new_system "$name" || printf '%s\n' "$name" || return 1
    done <"$dir/came" >"$dir/only-new"
}

came_with_the_new_system() {
    case $1 in
    *.mount | *.automount | *.swap)
        # Of that list units are made.
        if in_fstab "$new_live" "$1" && ! in_fstab "$previous_live" "$1"; then return 0; fi
        ;;
    esac
    unit_file_in "$new_live" "$1" || return 1
    unit_file_in "$previous_live" "$1" || return 0
    # Both have it, and only the new one starts it.
    is_wanted_in "$new_live" "$1" && ! is_wanted_in "$previous_live" "$1"
}

# is_wanted_in SYSTEM UNIT: whether another unit of the system brings it up.
is_wanted_in() {
    local link
    for link in "$1"/etc/systemd/system/*.wants/"$2" "$1"/etc/systemd/system/*.requires/"$2" "$1"/etc/systemd/system/*.upholds/"$2"; do
        [ ! -e "$link" ] && [ ! -L "$link" ] || return 0
    done
    return 1
}

# list_reloaded: units that were active before and that switch-to-configuration reloads where the two systems differ. They go on in the same run,
# so nothing tells whether they hold what the new system has given them, as the rules of a firewall.
list_reloaded() {
    local listed name
    # One look for all: on most hosts there are a handful. 123: some of them, or all, have no such line. It needs no room on /run.
    listed=$(
        printf '%s\0' "$new_live"/etc/systemd/system/* "$new_live"/etc/systemd/system/*.d/* \
            "$previous_live"/etc/systemd/system/* "$previous_live"/etc/systemd/system/*.d/* |
            xargs -0 grep -s -l -E '^[[:space:]]*X-Reload(IfChanged|-Triggers)[[:space:]]*=' 2>/dev/null
    ) || [ "$?" = 123 ] || return 1
    printf '%s\n' "$listed" | awk '
        NR == FNR { sub(/.*\/etc\/systemd\/system\//, ""); sub(/\.d\/.*/, ""); listed[$0]; next }
        { template = $0; sub(/@.*\./, "@.", template) }
        $0 in listed || template in listed || /\.mount$/' - "$dir/active" >"$dir/may-be-reloaded" || return 1
    while read -r name; do
        ! are_different "$name" || printf '%s\n' "$name" || return 1
    done <"$dir/may-be-reloaded" >"$dir/reloaded"
}

# is_another_unit NAME: whether the two systems differ in it. A unit that must not be restarted runs what it ran.
is_another_unit() { are_different "$1" && may_be_restarted "$1"; }

may_be_restarted() { ! unit_file_in "$previous_live" "$1" || ! says '^X-RestartIfChanged=false'; }

# says PATTERN: whether a line of $unit_file, or of what is beside it, is like that.
says() { grep -q -s -e "$1" "$unit_file" "$unit_file.d"/*; }

# are_different NAME: whether both systems have it, and not the same of it.
are_different() {
    local its_new_file its_options part was
    case $1 in
    *.mount)
        # Of the list of mounts a unit is made, and mounted anew where only its options differ.
        if ! cmp -s "$new_live/etc/fstab" "$previous_live/etc/fstab"; then
            its_options=$(fstab_options "$new_live" "$1")
            was=$(fstab_options "$previous_live" "$1")
            [ -z "$its_options" ] || [ -z "$was" ] || [ "$its_options" = "$was" ] || return 0
        fi
        ;;
    esac
    unit_file_in "$new_live" "$1" || return 1
    its_new_file=$unit_file
    unit_file_in "$previous_live" "$1" || return 1
    cmp -s "$its_new_file" "$unit_file" || return 0
    for part in "$its_new_file.d"/* "$unit_file.d"/*; do
        [ -e "$part" ] || continue
        cmp -s "$its_new_file.d/${part##*/}" "$unit_file.d/${part##*/}" || return 0
    done
    return 1
}

# end_new_automounts: each before the mount that it asks for, which would be asked for again.
end_new_automounts() {
    local each name where
    autofs_here >"$dir/autofs" || return 0
    set --
    while read -r each name where; do
        grep -q -F -x -e "$name" "$dir/active" || ! came_with_the_new_system "$name" || set -- "$@" "$name"
    done <"$dir/autofs"
    [ "$#" != 0 ] || return 0
    # And nothing else: local-fs.target requires them.
    limited 60 systemctl --no-pager --job-mode=ignore-dependencies stop -- "$@" 2>/dev/null
    for name; do drop_autofs "$name"; done
}
