# What is mounted where, and whether a reboot takes it away.
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
mount_of() {
    local about kind options place
    about=$(awk -v at="$1" '$5 == "/" || at == $5 || index(at, $5 "/") == 1 { if (length($5) >= length(place)) { place = $5; all = $0 } } END { print all }' /proc/self/mountinfo)
    place=$(printf '%s\n' "$about" | cut -d ' ' -f 5)
    [ "$2" = kind ] || { printf '%s\n' "$place" && return; }
    about=${about#* - }
    kind=${about%% *}
    options=${about##* }
    case $kind,$options, in
    overlay,*,upperdir=*)
        options=${options##*,upperdir=}
        kind=overlay:${options%%,*}
        ;;
    esac
    printf '%s\n' "$kind"
}
