#!/bin/sh
# A stand-in for what disko makes of disko.devices: partitions a disk, makes its file systems, and mounts them below /mnt.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
disk=$(readlink -f /dev/disk/by-id/virtio-new)
umount -R /mnt 2>/dev/null || :

# What a flake that is wrong would do to another disk, and to what is made of one.
for other in /dev/disk/by-id/virtio-spare /dev/loop0; do
    if [ ! -b "$other" ] || dd if=/dev/zero of="$other" count=1 conv=fsync,notrunc 2>/dev/null; then
        echo "$other, which was not named, is not there or was written to"
        exit 3
    fi
done

sfdisk --quiet --wipe always --wipe-partitions always "$disk" <<END
label: dos
start=2048, size=327680, type=83, bootable
start=329728, type=83
END
udevadm settle
mke2fs -q -F -t ext4 -L boot -U 6465706c-6f79-4666-8c61-6b6500000002 -O '^metadata_csum_seed,^orphan_file' "${disk}1"
mke2fs -q -F -t ext4 -L root -O '^metadata_csum_seed,^orphan_file' "${disk}2"
mkdir -p /mnt
mount "${disk}2" /mnt
mkdir /mnt/boot
mount "${disk}1" /mnt/boot
