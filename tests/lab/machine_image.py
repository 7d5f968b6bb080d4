# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk that a machine starts from: the containers' image with a kernel, an initrd and a boot loader.

Like NixOS's, the initrd knows where the root is, and starts the init that the boot loader's entry names. It is as
small as can be, since an emulated processor unpacks it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import image, mounts
from lab.shell import say, sh
from lab.state import State

PACKAGES = (
    *image.PACKAGES,
    *(
        "linux-image-cloud-amd64",
        "udev",
        "kmod",
        "qemu-guest-agent",
        "grub-pc-bin",
        "systemd-boot-tools",
        "systemd-boot-efi",
        "kexec-tools",
        # What an installer has.
        "fdisk",
        "e2fsprogs",
    ),
)

MIB = 1 << 20
BOOT_START = 1 * MIB
BOOT_SIZE = 160 * MIB
ROOT_START = BOOT_START + BOOT_SIZE
# The second copy of a GPT is behind it.
ROOT_SIZE = 1536 * MIB
DISK_SIZE = ROOT_START + ROOT_SIZE + 1 * MIB


@dataclass(frozen=True)
class Loader:
    """What a machine boots with."""

    name: str
    label: str
    boot_type: str
    uuid: str
    filesystem: str
    """Of /boot."""


LOADERS = {
    "grub": Loader("grub", "dos", "83", "6465706c-6f79-4666-8c61-6b6500000001", "ext4"),
    "systemd-boot": Loader("systemd-boot", "gpt", "U", "6465-706C", "vfat"),
}

INITRD = r"""#!/bin/busybox sh
# The first stage of booting.
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t tmpfs -o mode=755 tmpfs /run
for module in $(/bin/busybox cat /modules); do
    /bin/busybox insmod "/lib/$module" || echo "no $module"
done
read -r parameters </proc/cmdline
for parameter in $parameters; do
    case $parameter in
    init=*) init=${parameter#init=} ;;
    lab.probe)
        echo "lab: this kernel runs"
        /bin/busybox poweroff -f
        ;;
    lab.hang)
        echo "lab: hangs"
        while :; do /bin/busybox sleep 60; done
        ;;
    esac
done
until [ -b /dev/vda2 ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda2 /root
for place in dev proc sys run; do
    /bin/busybox mount --move "/$place" "/root/$place"
done
echo "lab: starting $init"
exec /bin/busybox switch_root /root "$init"
"""

PREPARE = r"""
set -e
cd /
mkdir /usr/lib/linux
mv boot/vmlinuz-* /usr/lib/linux/bzImage
kernel=$(ls /usr/lib/modules)
rm -rf boot/* vmlinuz* initrd.img*

work=$(mktemp -d)
mkdir "$work/bin" "$work/dev" "$work/proc" "$work/sys" "$work/run" "$work/root" "$work/lib"
cp /usr/bin/busybox "$work/bin/"
cat > "$work/init" <<'END'
@initrd@END
chmod +x "$work/init"
for module in virtio_pci virtio_blk ext4 crc32c_generic crc32c_intel virtio_net virtio_console; do
    modprobe --set-version "$kernel" --show-depends "$module" 2>/dev/null | while read -r word path _; do
        [ "$word" = insmod ] || continue
        name=$(basename "$path")
        name=${name%.xz}
        [ ! -e "$work/lib/$name" ] || continue
        case $path in
        *.xz) busybox xzcat "$path" >"$work/lib/$name" ;;
        *) cp "$path" "$work/lib/$name" ;;
        esac
        echo "$name" >>"$work/modules"
    done
done
(cd "$work" && find . | busybox cpio -o -H newc | gzip -1) >/usr/lib/linux/initrd
rm -rf "$work"

printf 'serial --unit=0\nterminal_output console serial\n' >/usr/lib/linux/grub-early.cfg
grub-mkimage -O i386-pc -o /usr/lib/linux/core.img -p '(hd0,msdos1)/grub' -c /usr/lib/linux/grub-early.cfg \
    biosdisk part_msdos ext2 normal configfile linux search search_fs_uuid loadenv test echo serial terminal

# Reboots go through the firmware where nobody asks for another way.
rm -f /etc/init.d/kexec /etc/init.d/kexec-load

# It has a unit of its own below.
rm -f /usr/lib/udev/rules.d/60-qemu-guest-agent.rules /usr/lib/systemd/system/qemu-guest-agent.service \
    /etc/init.d/qemu-guest-agent

# The names of links are the kernel's own.
ln -s /dev/null /etc/udev/rules.d/80-net-setup-link.rules
cd /usr/lib/systemd/system
cat >lab-network.service <<END
[Unit]
Description=The address that the lab gives to this machine
DefaultDependencies=no
After=systemd-udevd.service
Before=network.target
IgnoreOnIsolate=yes
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/dash /etc/lab-network
END
cat >lab-agent.service <<END
[Unit]
Description=The lab's way into this machine
DefaultDependencies=no
After=systemd-udev-trigger.service
IgnoreOnIsolate=yes
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/sbin/qemu-ga --method=virtio-serial --path=/dev/virtio-ports/org.qemu.guest_agent.0
Restart=always
RestartSec=1
KillMode=process
OOMScoreAdjust=-1000
END
ln -s ../lab-network.service ../lab-agent.service sysinit.target.wants/
"""


def disk(state: State, loader: Loader) -> Path:
    """The disk to copy, made if it is not there yet."""
    layers = image.layers(state, _recipe(loader))
    path = _disk_of(layers[0])
    if not path.exists():
        say(f"making the disk of a machine with {loader.name}")
        _make(state, loader, layers, path)
    return path


def kernel(state: State, loader: Loader) -> tuple[Path, Path]:
    """The kernel and the initrd, for qemu to start by itself."""
    linux = image.layers(state, _recipe(loader))[-1] / "usr/lib/linux"
    return linux / "bzImage", linux / "initrd"


def drop_old(state: State) -> None:
    """Remove layers and disks of earlier recipes; no machine needs those of its own once it has its disk."""
    layers = [path for loader in LOADERS.values() for path in image.paths(state, _recipe(loader))]
    keep = {*layers, *map(_disk_of, layers)}
    for path in state.dir.glob("machine-*"):
        if path not in keep:
            mounts.remove_tree(path)


def _disk_of(layer: Path) -> Path:
    return layer.with_name(f"{layer.name}.disk")


def _recipe(loader: Loader) -> image.Recipe:
    options = "umask=0077" if loader.filesystem == "vfat" else "defaults"
    fstab = f"echo 'UUID={loader.uuid} /boot {loader.filesystem} {options} 0 0' >/etc/fstab\n"
    prepare = image.PREPARE_BASE + PREPARE.replace("@initrd@", INITRD)
    return image.Recipe("machine-", PACKAGES, prepare, f"initial-{loader.name}", fstab + image.INSTALL_SYSTEM)


def _make(state: State, loader: Loader, layers: list[Path], path: Path) -> None:
    scratch = state.dir / "build"
    mounts.remove_tree(scratch)
    root, boot, unfinished = scratch / "root", scratch / "boot", path.with_suffix(".unfinished")
    for directory in (root, scratch / "upper", scratch / "work"):
        directory.mkdir(parents=True)
    mounts.overlay(root, layers, scratch / "upper", scratch / "work")
    try:
        shutil.move(root / "boot", boot)
        (root / "boot").mkdir()
        if loader.name == "grub":
            # The containers' recipe makes it.
            shutil.rmtree(boot / "loader")
        unfinished.unlink(missing_ok=True)
        with unfinished.open("wb") as file:
            file.truncate(DISK_SIZE)
        sizes = (
            f"start={BOOT_START // 512}, size={BOOT_SIZE // 512}, type={loader.boot_type}, bootable\n"
            f"start={ROOT_START // 512}, size={ROOT_SIZE // 512}, type=L\n"
        )
        sh("sfdisk", "--quiet", unfinished, stdin=f"label: {loader.label}\n{sizes}")
        _ext4(unfinished, root, ROOT_START, ROOT_SIZE, "root")
        if loader.name == "grub":
            _ext4(unfinished, boot, BOOT_START, BOOT_SIZE, "boot", "-U", loader.uuid)
            _embed_grub(root, unfinished)
        else:
            _esp(unfinished, boot, root, loader)
        unfinished.rename(path)
    finally:
        mounts.remove_tree(scratch)


def _ext4(path: Path, tree: Path, start: int, size: int, label: str, *options: str) -> None:
    # Without what an older kernel or GRUB does not know.
    features = "^metadata_csum_seed,^orphan_file"
    given = ["-q", "-F", "-L", label, "-d", str(tree), "-O", features, *options]
    sh("mke2fs", "-t", "ext4", *given, "-E", f"offset={start},nodiscard", path, f"{size // 1024}k")


def _embed_grub(root: Path, path: Path) -> None:
    """As grub-bios-setup does: the boot sector, and GRUB itself in the gap before the first partition."""
    first = (root / "usr/lib/grub/i386-pc/boot.img").read_bytes()
    core = (root / "usr/lib/linux/core.img").read_bytes()
    with path.open("r+b") as disk:
        # The partition table is behind it.
        disk.write(first[:440])
        disk.seek(512)
        disk.write(core)


def _esp(path: Path, boot: Path, root: Path, loader: Loader) -> None:
    for name in ("EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi"):
        target = boot / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / "usr/lib/systemd/boot/efi/systemd-bootx64.efi", target)
    esp = boot.with_name("esp")
    sh("mkfs.vfat", "-C", "-F", "32", "-n", "BOOT", "-i", loader.uuid.replace("-", ""), esp, str(BOOT_SIZE // 1024))
    sh("mcopy", "-s", "-m", "-i", esp, *sorted(boot.iterdir()), "::/")
    with path.open("r+b") as disk:
        disk.seek(BOOT_START)
        disk.write(esp.read_bytes())
