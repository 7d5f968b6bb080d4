# A deployment's directory is a small file system of its own, so that nobody else's files can take the room for its state.
# needs: base
# shellcheck shell=sh

# mount_own_storage DIRECTORY: by systemd, so that every unit sees it, whatever namespace this connection is in; without the dependencies of other
# mounts, since a soft-reboot would unmount it. Where it cannot be had, the directory itself has to do. No, where it may yet come, or is there for
# units and not for this connection: it would hide what lies in the directory.
mount_own_storage() {
    if timeout -k 5 30 systemd-mount --quiet --collect --no-ask-password -p DefaultDependencies=no \
        -t tmpfs -o size=8m,nr_inodes=2000,mode=0700,nosuid,nodev,noexec tmpfs "$1" 2>/dev/null && is_mounted "$1"; then return; fi
    never_comes "$1"
}

# never_comes DIRECTORY: whether nothing will be mounted there any more.
never_comes() {
    # A request that systemd has not come to yet is done with when this one is; of one that has failed it knows nothing any more.
    sc stop -- "$1" 2>/dev/null
    case $(sc show -p LoadState -p ActiveState -p Job -- "$1" 2>/dev/null) in
    *Job=[1-9]* | '') return 1 ;;
    *ActiveState=inactive* | *ActiveState=failed*) ! is_mounted "$1" ;;
    *) return 1 ;;
    esac
}

# is_mounted DIRECTORY: whether it is another file system than the one above it, as this connection sees it.
is_mounted() {
    [ -d "$1" ] || return 1
    # shellcheck disable=SC2046 # words
    set -- $(stat -c %d "$1" "${1%/*}")
    [ "$1" != "${2-}" ]
}

# remove_directory DIRECTORY
remove_directory() {
    if is_mounted "$1"; then timeout -k 5 30 umount -l "$1"; fi
    rm -rf "$1"
}
