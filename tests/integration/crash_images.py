# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine boots from a disk that a power cut has left.

/boot is read as the boot loader reads it: GRUB knows no journal, and a firmware reads FAT as it is. Where that says
nothing, the disk is booted until its initrd starts a system. The root is mounted by this kernel, as the machine's own
mounts it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import Machine, mounts, qemu
from lab.crashes import Crash
from lab.machine_image import BOOT_SIZE, BOOT_START, ROOT_SIZE, ROOT_START, Loader
from lab.shell import sh

# Whether systems are whole, as Nix itself sees it: each path of their closures has all that it had when it was built.
VERIFY = """
mount -t proc proc /proc
for system in "$@"; do
    paths=$(nix-store --query --requisites "$system")
    nix-store --verify-path $paths
done
"""


@dataclass(frozen=True)
class Left:
    """What is left on a disk."""

    boots: str
    """The system; "" for none."""
    then_boots: str
    """The same after the check of FAT that NixOS makes at a boot, where it could be read before that."""
    profile: str
    confirmed: bool
    """Whether the disk says that a deployment is confirmed and not at its end."""
    outcomes: tuple[str, ...]
    booted: bool
    """Whether it was booted to be known."""


def look(crash: Crash, machine: Machine, scratch: Path) -> Left:
    """Fails where the system that is booted, or that of the profile, is not whole."""
    with _mounted(crash.disk, scratch / "root") as root:
        system = _read(crash.disk, machine.loader, root)
        profile = _inside(root, "readlink", "-f", "/nix/var/nix/profiles/system")
        record = root / "var/lib/deploy-flake/deployments.jsonl"
        lines = record.read_text().splitlines() if record.exists() else []
        confirmed = (record.parent / "open.confirmed").exists()
    boots = system or _booted(crash.disk, machine, scratch)
    with_fat = machine.loader.name == "systemd-boot"
    if with_fat:
        _check_fat(crash.disk)
    with _mounted(crash.disk, scratch / "root") as root:
        then_boots = _read(crash.disk, machine.loader, root) if with_fat and system else boots
        _inside(root, "sh", "-euc", VERIFY, "sh", *filter(None, (boots, profile)))
    # The last one may be cut off, or have zeros in it.
    outcomes = tuple(json.loads(line)["outcome"] for line in lines if line.endswith("}") and "\0" not in line)
    return Left(boots, then_boots, profile, confirmed, outcomes, not system)


def _check_fat(disk: Path) -> None:
    """As it is done at a boot."""
    part = (f"--offset={BOOT_START}", f"--sizelimit={BOOT_SIZE}")
    loop = sh("losetup", "--find", "--show", *part, disk).strip()
    try:
        # 1 where it has mended something.
        done = subprocess.run(["fsck.fat", "-a", loop], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stdout
    finally:
        sh("losetup", "--detach", loop)


def _read(disk: Path, loader: Loader, root: Path) -> str:
    """The system that it boots by what can be read; "" where that says nothing."""
    entry = _entry(disk, loader)
    return _whole(disk, loader, root, *entry) if entry else ""


def _booted(disk: Path, machine: Machine, scratch: Path) -> str:
    """The system that the loader really boots, with variables of the firmware as they begin; "" for none."""
    variables = qemu.firmware(scratch)
    if machine.loader.name == "systemd-boot":
        shutil.copyfile(qemu.OVMF / "OVMF_VARS_4M.fd", variables)
    init = qemu.starts(disk, qemu.accelerator(machine.state), variables, machine.boot_limit)
    return init.removesuffix("/init")


def _whole(disk: Path, loader: Loader, root: Path, kernel: str, initrd: str, system: str) -> str:
    """This system, where its kernel and its initrd are there as they were built."""
    for path, name in ((kernel, "kernel"), (initrd, "initrd")):
        meant = root / _inside(root, "readlink", "-f", f"{system}/{name}").lstrip("/")
        if _boot_file(disk, loader, path) != meant.read_bytes():
            return ""
    return system


def _entry(disk: Path, loader: Loader) -> tuple[str, str, str] | None:
    """The files of the default entry, and the system that it starts; None where it cannot be read."""
    if loader.name == "grub":
        text = _boot_file(disk, loader, "/grub/grub.cfg").decode(errors="replace")
        if "\0" in text or not text.startswith("# What grub-reboot") or not text.endswith("\n}\n"):
            return None
        kernel = re.search(r"^  linux \(\$drive1\)/(\S+) init=(\S+)/init ", text, re.M)
        initrd = re.search(r"^  initrd \(\$drive1\)/(\S+)$", text, re.M)
        return (kernel[1], initrd[1], kernel[2]) if kernel and initrd else None
    said = _boot_file(disk, loader, "/loader/loader.conf").decode(errors="replace")
    if not (default := re.search(r"^default (\S+)$", said, re.M)):
        return None
    text = _boot_file(disk, loader, f"/loader/entries/{default[1]}").decode(errors="replace")
    found = re.search(r"^linux (\S+)\ninitrd (\S+)\noptions init=(\S+)/init ", text, re.M)
    return (found[1], found[2], found[3]) if found else None


def _boot_file(disk: Path, loader: Loader, path: str) -> bytes:
    """Empty where it cannot be read. Of check sums of ext4 GRUB knows nothing."""
    if loader.name == "grub":
        command = ["debugfs", "-c", "-n", "-R", f"cat /{path.lstrip('/')}", f"{disk}?offset={BOOT_START}"]
    else:
        command = ["mtype", "-i", f"{disk}@@{BOOT_START}", f"::{path}"]
    return subprocess.run(command, capture_output=True, check=False).stdout


@contextmanager
def _mounted(disk: Path, root: Path) -> Iterator[Path]:
    mounts.partition(root, disk, ROOT_START, ROOT_SIZE)
    try:
        yield root
    finally:
        mounts.unmount(root)


def _inside(root: Path, *command: str) -> str:
    """In namespaces of its own: what it mounts is gone with it."""
    clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
    return sh("unshare", "--mount", "--pid", "--fork", "--kill-child", "chroot", root, *clean, *command).strip()
