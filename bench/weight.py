# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives the benchmark and the lab's hosts the processors before whatever else this machine does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import Lab, cgroup

TREE = Path("/sys/fs/cgroup")
# The most that the kernel takes, of each version of cgroups.
_WEIGHT = 10000
_SHARES = 262144
_USUAL = "100"


@contextmanager
def heavy(lab: Lab) -> Iterator[bool]:
    """Have this process, what it starts and the hosts of a lab that is up weigh more; tell whether they do."""
    try:
        lighten = _version_1(lab) if (TREE / "cpu" / "cpu.shares").exists() else _version_2(lab)
    except OSError as error:
        print(
            f"the hosts and the benchmark get no more weight than others ({error}): what else runs on this machine is"
            " in the figures",
            flush=True,
        )
        yield False
        return
    try:
        yield True
    finally:
        lighten()


def weigh(group: Path) -> None:
    """Give a cgroup of version 2 the weight, where the processors are shared out by that version."""
    if not (group / "cpu.weight").exists():
        (group.parent / "cgroup.subtree_control").write_text("+cpu")
    (group / "cpu.weight").write_text(str(_WEIGHT))


def _version_2(lab: Lab) -> Callable[[], None]:
    """The lab's own cgroup weighs more, and what it is in; what is measured gets the weight in a cgroup of its own."""
    group = cgroup.root(lab.state)
    groups = [each for each in (*reversed(group.parents), group) if TREE in each.parents]
    before: dict[Path, str] = {}

    def lighten() -> None:
        for file, weight in before.items():
            with suppress(OSError):
                file.write_text(weight)

    try:
        for each in groups:
            file = each / "cpu.weight"
            there = file.read_text() if file.exists() else _USUAL
            weigh(each)
            before[file] = there
    except OSError:
        lighten()
        raise
    return lighten


def _version_1(lab: Lab) -> Callable[[], None]:
    """One cgroup has all: hosts that run already, and this process, so that what it starts is there too."""
    top = TREE / "cpu"
    group = top / f"{lab.state.name}-bench"

    def lighten() -> None:
        for _look in range(100):
            if not _move(group / "cgroup.procs", top):
                break
        with suppress(OSError):
            group.rmdir()

    try:
        group.mkdir(exist_ok=True)
        (group / "cpu.shares").write_text(str(_SHARES))
        (group / "cgroup.procs").write_text(str(os.getpid()))
        # Twice: what a process has started before it was moved is not in the first look.
        for _look in range(2):
            for file in cgroup.root(lab.state).rglob("cgroup.procs"):
                _move(file, group)
    except OSError:
        lighten()
        raise
    return lighten


def _move(procs: Path, group: Path) -> bool:
    """Move what is in one cgroup to another one; tell whether there was anything."""
    try:
        pids = procs.read_text().split()
    except OSError:
        # It has gone, and all that was in it.
        return False
    for pid in pids:
        # It has ended, or may not be moved.
        with suppress(OSError):
            (group / "cgroup.procs").write_text(pid)
    return bool(pids)
