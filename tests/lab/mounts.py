# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounting, unmounting, and removing trees that may have something mounted in them."""

from __future__ import annotations

from pathlib import Path

from lab.shell import sh


def tmpfs(target: Path, size: int, mode: str = "0755") -> None:
    target.mkdir(parents=True, exist_ok=True)
    sh("mount", "-t", "tmpfs", "-o", f"size={size},mode={mode}", "deploy-flake-lab", target)


def overlay(target: Path, lower: list[Path], upper: Path, work: Path) -> None:
    """redirect_dir lets a directory of the image be renamed, as on a real disk."""
    options = f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work},redirect_dir=on"
    sh("mount", "-t", "overlay", "-o", options, "deploy-flake-lab", target)


def partition(target: Path, disk: Path, start: int, size: int) -> None:
    """A file system that is part of a file."""
    target.mkdir(parents=True, exist_ok=True)
    # What a power cut has left is perhaps no good.
    sh("mount", "-o", f"loop,offset={start},sizelimit={size},errors=remount-ro", disk, target)


def unmount(target: Path) -> None:
    """At once: what is below it is used by somebody else next."""
    sh("umount", target)


def below(directory: Path) -> list[Path]:
    """What is mounted at or below a directory, the last mounted first."""
    prefix = str(directory)
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # Spaces and the like are written as octal escapes.
        path = line.split()[4].encode("latin-1").decode("unicode_escape")
        if path == prefix or path.startswith(f"{prefix}/"):
            found.append(Path(path))
    return found[::-1]


def unmount_below(directory: Path) -> None:
    for path in below(directory):
        # Lazily: a container that is just starting holds every mount of this machine for a moment.
        sh("umount", "--lazy", "--no-canonicalize", path)


def remove_tree(directory: Path) -> None:
    unmount_below(directory)
    # Should something be mounted there all the same, it is not ours to empty.
    sh("rm", "-rf", "--one-file-system", directory)
