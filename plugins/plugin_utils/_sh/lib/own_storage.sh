# A deployment's directory is a small file system of its own, so that nobody else's files can take the room for its state.
# shellcheck shell=sh

# mount_own_storage DIRECTORY: no, where it cannot be had. By systemd, so that every unit sees it, whatever namespace this connection is in;
# without the dependencies of other mounts, since a soft-reboot would unmount it.
mount_own_storage() {
    timeout -k 5 30 systemd-mount --quiet --collect --no-ask-password -p DefaultDependencies=no \
        -t tmpfs -o size=8m,nr_inodes=2000,mode=0700,nosuid,nodev,noexec tmpfs "$1" 2>/dev/null && : >"$1/own-storage"
}

# remove_directory DIRECTORY
remove_directory() {
    [ ! -e "$1/own-storage" ] || timeout -k 5 30 umount -l "$1"
    rm -rf "$1"
}
