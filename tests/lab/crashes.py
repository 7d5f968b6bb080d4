# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks that a power cut could have left: what was flushed by then, and some of what was not, in no order.

A block that was written twice since the last flush may be there as the first write had it; what one write has of a
block comes whole, as with disks whose sectors are of 4 KiB: ext4 cannot be mounted where its superblock is half old.
What was in flight when a flush was asked for counts as flushed: `nbd` answers one request after the other.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.nbd import SECTOR, Written, recorded, recorded_base
from lab.shell import sh

BLOCK = 4096


@dataclass(frozen=True)
class Crash:
    """A disk after a power cut; the next one takes its place."""

    disk: Path
    after: int
    """How many writes and flushes there had been."""
    time: float
    """When it was, by this machine's monotonic clock; the last is after all that was written."""
    kept: str
    """What is on the disk of the writes since the last flush."""


def crashes(
    recording: Path, scratch: Path, count: int, chance: random.Random, since: float, fat_until: int = 0
) -> Iterator[Crash]:
    """Cuts at `count` of its moments, in their order, half of them after `since`; the last keeps nothing at the end.

    Until that place of the disk, which FAT has, each sector comes by itself.
    """
    entries = list(recorded(recording))
    late = [number for number, entry in enumerate(entries) if entry.time >= since]
    half = set(chance.sample(late, min(count // 2, len(late))))
    others = [number for number in range(len(entries)) if number not in half]
    moments = sorted([*half, *chance.sample(others, min(count - len(half), len(others)))])
    durable, disk = scratch / "durable", scratch / "disk"
    _copy(recorded_base(recording), durable)
    done = 0
    waiting: list[Written] = []
    for moment in [*moments, len(entries)]:
        with durable.open("r+b") as file:
            for entry in entries[done:moment]:
                if not entry.data:
                    _apply(file.fileno(), waiting)
                    waiting = []
                else:
                    waiting.append(entry)
        done = moment
        last = moment == len(entries)
        share = 0.0 if last else chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        _copy(durable, disk)
        _scatter(disk, waiting, share, chance, fat_until)
        kept = f"{share:.0%} of the blocks of {len(waiting)} writes"
        yield Crash(disk, moment, math.inf if last else entries[moment].time, kept)


def _scatter(disk: Path, waiting: list[Written], share: float, chance: random.Random, fat_until: int) -> None:
    """Any block may be there, as any write had it; where all are kept, it is the last."""
    with disk.open("r+b") as file:
        for entry in waiting:
            start, end = entry.offset, entry.offset + len(entry.data)
            while start < end:
                whole = SECTOR if start < fat_until else BLOCK
                piece = min(end, (start // whole + 1) * whole)
                if entry.through or chance.random() < share:
                    os.pwrite(file.fileno(), entry.data[start - entry.offset : piece - entry.offset], start)
                start = piece


def _apply(fd: int, entries: list[Written]) -> None:
    for entry in entries:
        os.pwrite(fd, entry.data, entry.offset)


def _copy(source: Path, target: Path) -> None:
    # A new file: the last one may still be held by the loop device that it was mounted with.
    target.unlink(missing_ok=True)
    sh("cp", "--sparse=always", "--reflink=auto", source, target)
