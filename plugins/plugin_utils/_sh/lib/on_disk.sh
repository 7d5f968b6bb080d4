# Getting what was written past the caches, the kernel's and the disk's own.
# needs: base held_files log process
# shellcheck shell=sh

# to_disk LIMIT DIRECTORY: its whole file system, as a boot loader reads it, which knows no journal. For that the system call
# behind `sync -f` is not enough: FAT does not empty the disk's own cache in it, and ext4 does so before it brings to their places what its
# journal has. An fsync comes after that, and empties it for both; of a file, since that of a directory does nothing in ext4 where nothing is
# left to commit.
to_disk() {
    local file synced
    limited "$1" sync -f "$2"
    synced=$status
    file=$(timeout -k 5 "$1" find "$2" -xdev -type f 2>/dev/null | head -n 1)
    limited "$1" sync "${file:-$2}" && return "$synced"
}

# boot_file_systems: /boot and /efi, their mirrors, and other FAT file systems of this system; no stick that somebody has plugged in. What
# is mounted is in $mount_table, and what should be in $mounts_wanted.
boot_file_systems() {
    local mounts
    mounts=${mounts_wanted-/etc/fstab}
    [ -r "$mounts" ] || mounts=/dev/null
    {
        [ ! -d /boot ] || echo /boot
        awk 'FILENAME == ARGV[1] { if ($1 !~ /^#/) wanted[$2]; next }
        $5 !~ /\\/ {
            for (i = 7; i < NF && $i != "-"; i++);
            kind = $(i + 1)
            if (kind ~ /^(autofs|nfs|cifs|smb|9p|ceph|fuse)/) next
            if ($5 ~ "^/(boot|efi)([-_0-9./]|$)" || kind == "vfat" && $5 in wanted) print $5
        }' "$mounts" "${mount_table-/proc/self/mountinfo}"
    } | sort -u
}

# loader_files DIRECTORY: those that one of them begins with.
loader_files() {
    local file
    for file in "$1/grub/grub.cfg" "$1/extlinux/extlinux.conf"; do [ ! -f "$file" ] || echo "$file"; done
}

# sync_systems LIMIT: the system profile, and the store, which may be a file system of its own.
sync_systems() {
    local synced
    limited "$1" sync -f "${profile%/*}"
    synced=$status
    limited "$1" sync -f /nix/store && return "$synced"
}

# sync_boot_side LIMIT: only the file systems that matter: a network mount that hangs must not hold up a commit. No, where one could not be
# written.
sync_boot_side() {
    local file place written
    written=0
    sync_systems "$1" || written=1
    for place in $(boot_file_systems); do
        to_disk "$1" "$place" || {
            written=1
            continue
        }
        for file in $(loader_files "$place"); do rm -f "$file".*.deploy-flake; done
    done
    if [ "$written" = 0 ]; then let_go_of_files; else log_line "what the boot loader reads could not be brought to the disk"; fi
    return "$written"
}
