# File systems and swap of a system, by its own /etc/fstab, and the directories that are mounted when somebody looks into them. Of these systemd
# tells nothing any more once it has read the previous system's units: neither where they are, nor that anything is left there.
# facts: new_live previous_live
# needs: base decoded process
# shellcheck shell=sh

# awk_of_units PROGRAM FILE: with the function that names a unit as systemd-escape does; not every system has that program.
awk_of_units() {
    awk_of_mounts 'BEGIN { for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i }
        function unit(path,   at, letter, out) {
            gsub(/\/+/, "/", path)
            sub(/^\//, "", path)
            sub(/\/$/, "", path)
            if (path == "") return "-"
            for (at = 1; at <= length(path); at++) {
                letter = substr(path, at, 1)
                if (letter == "/") out = out "-"
                else if (letter ~ /[A-Za-z0-9:_]/ || (letter == "." && at > 1)) out = out letter
                else out = out sprintf("\\x%02x", code[letter])
            }
            return out
        }
        '"$1" "$2"
}

# fstab_units SYSTEM: a line for each: the unit, what it mounts, and as which type. Swap goes by its device.
fstab_units() {
    [ -r "$1/etc/fstab" ] || return 0
    # shellcheck disable=SC2016 # of awk
    awk_of_units '/^[ \t]*(#|$)/ { next }
        $3 == "swap" {
            if (match($1, /^(UUID|LABEL|PARTUUID|PARTLABEL)=/))
                $1 = "/dev/disk/by-" tolower(substr($1, 1, RLENGTH - 1)) "/" substr($1, RLENGTH + 1)
            print unit(decoded($1)) ".swap", $1, "swap"
            next
        }
        $2 ~ /^\// {
            name = unit(decoded($2))
            print name ".mount", $1, $3
            if (("," $4 ",") ~ /,(x-systemd\.automount|comment=systemd\.automount),/) print name ".automount", "autofs", "autofs"
        }' "$1/etc/fstab"
}

# fstab_options SYSTEM UNIT: how it mounts it.
fstab_options() {
    local name options
    [ -r "$1/etc/fstab" ] || return 0
    # shellcheck disable=SC2016 # of awk
    awk_of_units '$1 !~ /^#/ && $2 ~ /^\// { print unit(decoded($2)) ".mount", $4 }' "$1/etc/fstab" | while read -r name options; do
        [ "$name" != "$2" ] || printf '%s\n' "$options"
    done
}

# in_fstab SYSTEM UNIT: in $line what it is there; no, if it is not. A swap that runs is called by its device, whatever fstab calls that.
in_fstab() {
    local device found name rest
    found=
    device=
    case $2 in *.swap) device=$(sc show -p What --value -- "$2" 2>/dev/null) && device=$(readlink -f "$device") ;; esac
    while read -r name rest; do
        if [ "$name" = "$2" ] || { [ -n "$device" ] && [ "${name%.swap}" != "$name" ] && [ "$(readlink -f "${rest% *}")" = "$device" ]; }; then
            found=$rest
        fi
    done <<END
$(fstab_units "$1")
END
    line=$found
    [ -n "$found" ]
}

# is_other_mount UNIT: whether both systems have it in their fstab, and not as the same.
is_other_mount() {
    local was
    case $1 in *.mount | *.swap) ;; *) return 1 ;; esac
    in_fstab "$previous_live" "$1" || return 1
    was=$line
    in_fstab "$new_live" "$1" && [ "$line" != "$was" ]
}

# mounts_here: a line for each mount: its unit, and its options.
mounts_here() {
    # shellcheck disable=SC2016 # of awk
    awk_of_units '{
        its = $0
        sub(/.* - [^ ]+ [^ ]+ /, "", its)
        print "=" unit(decoded($5)) ".mount= " $6, its
    }' /proc/self/mountinfo
}

# is_mounted_as_before UNIT: with the options that it had before anything was changed.
is_mounted_as_before() {
    local now
    now=$(mounts_here | grep -F -e "=$1=") && [ "$now" = "$(grep -s -F -e "=$1=" "$dir/mounts")" ]
}

# autofs_here: a line for each directory that is mounted when somebody looks into it: `bare`, or `covered` where something is mounted upon
# it now; its unit, and where it is.
autofs_here() {
    # shellcheck disable=SC2016 # of awk
    awk_of_units '{
            type = ""
            for (i = 7; i < NF; i++) if ($i == "-") { type = $(i + 1); break }
            last[$5] = type
            if (type == "autofs" && !($5 in has)) { has[$5]; places[++count] = $5 }
        }
        END {
            for (i = 1; i <= count; i++)
                print (last[places[i]] == "autofs" ? "bare" : "covered"), unit(decoded(places[i])) ".automount", decoded(places[i])
        }' /proc/self/mountinfo
}

# drop_autofs UNIT: what is left of one that has ended. Where systemd did not know its directory any more it has left it mounted, and
# everybody who looks into it finds nothing.
drop_autofs() {
    local each name where
    autofs_here >"$dir/autofs" || return 0
    while read -r each name where; do
        [ "$each $name" != "bare $1" ] || limited 10 umount -l "$where"
    done <"$dir/autofs"
}
