# Getting what was written past the caches, the kernel's and the disk's own.
# needs: base log name_at_boot process
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

# Where a new file takes the name of an old one, ext4 empties the old one and changes the name, at their places in no order: between the two
# GRUB or U-Boot, which know no journal, would find a file that is empty. One that has a second name is not emptied. FAT has no second names.

# loader_files DIRECTORY: those that one of them begins with.
loader_files() {
    local file
    for file in "$1/grub/grub.cfg" "$1/extlinux/extlinux.conf"; do [ ! -f "$file" ] || echo "$file"; done
}

# keep_loader_files: until sync_boot_side has been through. Each has a name of its own: what an earlier call has kept may be what the disk still
# names, and what a power cut has left is another one.
keep_loader_files() {
    local place file
    for place in $(boot_file_systems); do
        for file in $(loader_files "$place"); do
            ln "$file" "$file.$(stat -c %i "$file").deploy-flake" 2>/dev/null
        done
    done
    return 0
}

# drop_cut_off SYSTEM: copies of its kernel and its initrd for the boot loader, where they do not begin with what they are copies of. They are
# made once, and left where there is one: what a power cut has made of it nobody else would ever mend. Secrets may come behind an initrd.
drop_cut_off() {
    local copy file name part place places system
    places=$(boot_file_systems)
    for system in "$1" "$1"/specialisation/*; do
        for part in kernel initrd; do
            file=$(readlink -f "$system/$part") && [ -f "$file" ] || continue
            name_at_boot "$file"
            for place in $places; do
                for copy in "$place/EFI/nixos/$name.efi" "$place/kernels/$name" "$place/nixos/$name"; do
                    [ -f "$copy" ] || continue
                    head -c "$(stat -c %s "$file")" "$copy" | cmp -s - "$file"
                    # Not where nobody could look.
                    [ $? != 1 ] || rm -f "$copy"
                done
            done
        done
    done
}

# before_loader SYSTEM: what comes before anybody writes the boot loader for it.
before_loader() {
    keep_loader_files
    drop_cut_off "$1"
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
    [ "$written" = 0 ] || log_line "what the boot loader reads could not be brought to the disk"
    return "$written"
}
