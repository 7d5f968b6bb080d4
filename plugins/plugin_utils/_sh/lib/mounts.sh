# What is mounted where, and whether a reboot takes it away.
# needs: decoded
# shellcheck shell=sh

# is_gone_after_boot DIRECTORY: whether it is on a tmpfs, or on an overlay whose changes are. Where those lie in what this host cannot see, as
# in a container, that says nothing.
is_gone_after_boot() {
    local kind
    kind=$(file_system_of "$1")
    case $kind in
    tmpfs | ramfs) return 0 ;;
    overlay:?*) kind=${kind#overlay:} ;;
    *) return 1 ;;
    esac
    # An initrd has mounted it under its own name for the root.
    case $kind in /sysroot/* | /mnt-root/*) [ -d "$kind" ] || kind=/${kind#/*/} ;; esac
    [ -d "$kind" ] && is_gone_after_boot "$kind"
}

# file_system_of DIRECTORY: its kind, and that of an overlay with what it writes to.
file_system_of() { mount_of "$1" kind; }

# mount_of DIRECTORY kind|place: of what it is on. Of two at the same place the later one is seen.
# shellcheck disable=SC2016 # awk's
mount_of() (
    at=$1
    what=$2
    export at what
    awk_of_mounts '
        BEGIN { at = ENVIRON["at"] }
        { here = decoded($5) }
        here == "/" || at == here || index(at, here "/") == 1 { if (length(here) >= length(place)) { place = here; all = $0 } }
        END {
            count = split(substr(all, index(all, " - ") + 3), words, " ")
            kind = words[1]
            options = "," words[count]
            if (kind == "overlay" && match(options, /,upperdir=[^,]*/)) kind = kind ":" decoded(substr(options, RSTART + 10, RLENGTH - 10))
            print ENVIRON["what"] == "place" ? place : kind
        }' /proc/self/mountinfo
)
