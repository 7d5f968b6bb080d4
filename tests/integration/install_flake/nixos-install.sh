#!/bin/sh
# A stand-in for NixOS's program of this name, with its options. Beside the closure it copies what a system of the lab has
# below it, a Debian, and embeds GRUB as NixOS's installer of the boot loader does.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=/mnt
while [ "$#" -gt 0 ]; do
    case $1 in
    --system) system=$2 && shift 2 ;;
    --root) root=$2 && shift 2 ;;
    --no-root-passwd | --no-channel-copy) shift ;;
    *) echo "$1 is no option" && exit 2 ;;
    esac
done
echo "copying what is below the system..."
# What is not needed would take an emulated processor minutes.
cat >/run/lab-left-out <<END
./nix
./boot
./tmp
./mnt
./lost+found
./etc/ssh/ssh_host_*
./var/lib/deploy-flake
./var/lib/apt
./var/lib/dpkg
./var/log
./var/cache
./usr/share/doc
./usr/share/locale
./usr/share/man
./usr/share/perl
./usr/lib/modules
./usr/lib/udev/hwdb.bin
./usr/lib/x86_64-linux-gnu/perl
./usr/lib/x86_64-linux-gnu/gconv
END
tar --create --one-file-system --directory / --exclude-from=/run/lab-left-out . | tar --extract --preserve-permissions --directory "$root"
mkdir -p "$root/nix/store" "$root/boot" "$root/tmp" "$root/mnt" "$root/var/log/journal" "$root/var/cache"
chmod 1777 "$root/tmp"
chmod 1775 "$root/nix/store"
chgrp nixbld "$root/nix/store"
echo 'UUID=6465706c-6f79-4666-8c61-6b6500000002 /boot ext4 defaults 0 0' >"$root/etc/fstab"

echo "copying the closure..."
nix --extra-experimental-features nix-command copy --no-check-sigs --to "$root" "$system"
nix-env --store "$root" -p "$root/nix/var/nix/profiles/system" --set "$system"

echo "installing the boot loader..."
disk=$(readlink -f /dev/disk/by-id/virtio-new)
dd if=/usr/lib/grub/i386-pc/boot.img of="$disk" bs=440 count=1 conv=notrunc status=none
dd if=/usr/lib/linux/core.img of="$disk" bs=512 seek=1 conv=notrunc status=none
for each in dev proc sys; do mount --rbind "/$each" "$root/$each" && mount --make-rslave "$root/$each"; done
mount -t tmpfs tmpfs "$root/run"
ln -sfn /proc/mounts "$root/etc/mtab"
status=0
NIXOS_INSTALL_BOOTLOADER=1 chroot "$root" "$system/bin/switch-to-configuration" boot || status=$?
for each in run dev proc sys; do umount -R "$root/$each"; done
exit "$status"
