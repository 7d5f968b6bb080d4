# Getting what was written past the caches, the kernel's and the disk's own.
# needs: base process
# shellcheck shell=sh

# to_disk LIMIT DIRECTORY: its whole file system, as a boot loader reads it after a power loss, which knows no journal. For that the system call
# behind `sync -f` is not enough: FAT does not empty the disk's own cache in it, and ext4 does so before it brings to their places what its
# journal has. An fsync comes after that, and empties it for both.
to_disk() { limited "$1" sync -f "$2" && limited "$1" sync "$2"; }

# boot_file_systems: those that a boot loader may read files from, by its own name, a mirror's or because a firmware can read them.
boot_file_systems() {
    {
        [ ! -d /boot ] || echo /boot
        awk '$5 !~ /\\/ {
            for (i = 7; i < NF && $i != "-"; i++);
            if ($5 ~ "^/(boot|efi)" || $(i + 1) == "vfat") print $5
        }' "${mount_table-/proc/self/mountinfo}"
    } | sort -u
}

# sync_systems LIMIT: the system profile, and the store, which may be a file system of its own.
sync_systems() {
    limited "$1" sync -f "${profile%/*}"
    limited "$1" sync -f /nix/store
}

# sync_boot_side LIMIT: only the file systems that matter: a network mount that hangs must not hold up a commit.
sync_boot_side() {
    local place
    sync_systems "$1"
    for place in $(boot_file_systems); do to_disk "$1" "$place"; done
    return 0
}
