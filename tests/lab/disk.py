# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's disk and boot partition: file systems of limited size, mounted outside of it, so they outlive its power."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab import mounts
from lab.shell import LabError, sh

DISK_SIZE = 1 << 30
BOOT_SIZE = 8 << 20


def make(directory: Path, layers: list[Path]) -> None:
    """Mount `root`, an overlay whose upper layer is the tmpfs `disk`, and `boot`, filled from the image's /boot."""
    disk, root, boot = directory / "disk", directory / "root", directory / "boot"
    mounts.tmpfs(disk, DISK_SIZE)
    for path in (disk / "upper", disk / "work", root):
        path.mkdir()
    mounts.overlay(root, layers, disk / "upper", disk / "work")
    mounts.tmpfs(boot, BOOT_SIZE)
    shutil.copytree(root / "boot", boot, symlinks=True, dirs_exist_ok=True)


def fill(mount: Path, leave_bytes: int) -> None:
    """Leave so much free space and no more. The limit is lowered rather than a file written: that costs no memory."""
    for _attempt in range(10):
        numbers = os.statvfs(mount)
        used = (numbers.f_blocks - numbers.f_bfree) * numbers.f_frsize
        try:
            sh("mount", "-o", f"remount,size={used + leave_bytes}", mount)
            return
        except LabError as error:
            # The kernel refuses a limit below what is used, which the host may have raised meanwhile.
            refusal = error
    raise refusal


def free(mount: Path, size: int) -> None:
    sh("mount", "-o", f"remount,size={size}", mount)
