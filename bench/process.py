# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program and measures what it and everything that it starts use: by a cgroup, which daemons do not leave."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.weight import TREE, weigh

LIMIT = 600


class Broken(Exception):
    """A program did not do what it was started for."""


@dataclass(frozen=True)
class Used:
    """What one run took."""

    seconds: float
    cpu: float
    """Seconds of all processors together."""
    memory: int | None
    """Bytes at the peak; None where this machine does not count them."""


def run(command: Sequence[str | Path], environment: Mapping[str, str], directory: Path, log: Path) -> Used:
    """Run it to its end. Raises Broken with the tail of its output if it fails."""
    with _groups() as (cpu, memory), log.open("wb") as output:
        # Both versions of cgroups may be there, each with a part of it.
        files = [str(group / "cgroup.procs") for group in dict.fromkeys((cpu, memory)) if group]
        enter = 'for file do case $file in --) shift; break ;; esac; echo $$ >"$file"; shift; done; exec "$@"'
        began = time.monotonic()
        process = subprocess.Popen(
            ["/bin/sh", "-c", enter, "sh", *files, "--", *(str(word) for word in command)],
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            if not _ends(process.pid, LIMIT):
                raise Broken(f"{Path(str(command[0])).name} did not end within {LIMIT} s")
        finally:
            seconds = time.monotonic() - began
            used = Used(seconds, _cpu(cpu), _peak(memory))
        code = process.wait()
    if code != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise Broken(f"{Path(str(command[0])).name} ended with {code}; the end of its output:\n{tail}")
    return used


def _ends(pid: int, limit: float) -> bool:
    """Whether it ends in time. Popen.wait would look every 50 ms, which is much of a deploy that does nothing."""
    ended = os.pidfd_open(pid)
    try:
        return bool(select.select([ended], [], [], limit)[0])
    finally:
        os.close(ended)


@contextmanager
def _groups() -> Iterator[tuple[Path, Path | None]]:
    """New cgroups that count processor time and memory; everything in them is ended afterwards."""
    name = f"deploy-flake-bench-{os.getpid()}"
    unified = TREE if _is_v2(TREE) else TREE / "unified"
    cpu = unified / name
    memory: Path | None = cpu if "memory" in (unified / "cgroup.subtree_control").read_text().split() else None
    if memory is None and (TREE / "memory" / "cgroup.procs").exists():
        memory = TREE / "memory" / name
    groups = {group for group in (cpu, memory) if group}
    for group in groups:
        group.mkdir(exist_ok=True)
    # Where that is not done by this version, it is in the group of the other one that all of the benchmark is in.
    with suppress(OSError):
        weigh(cpu)
    try:
        yield cpu, memory
    finally:
        # ssh's shared connections, above all: the next run is to make its own.
        (cpu / "cgroup.kill").write_text("1")
        ends = time.monotonic() + 30
        while "populated 1" in (cpu / "cgroup.events").read_text() and time.monotonic() < ends:
            time.sleep(0.01)
        for group in groups:
            _remove(group, ends)


def _remove(group: Path, ends: float) -> None:
    """A cgroup can be busy for a moment after its last process has gone."""
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.01)


def _is_v2(path: Path) -> bool:
    return (path / "cgroup.controllers").exists()


def _cpu(group: Path) -> float:
    counted = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(counted["usage_usec"]) / 1e6


def _peak(group: Path | None) -> int | None:
    for name in ("memory.peak", "memory.max_usage_in_bytes"):
        if group and (group / name).exists():
            return int((group / name).read_text())
    return None
