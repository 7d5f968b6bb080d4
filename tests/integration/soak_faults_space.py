# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the randomised test: no space, and locks that somebody holds."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from integration import faulting
from integration.faulting import STORE_LOCK, SWITCH_LOCK
from integration.soak_scene import Scene

from lab import Host
from lab.shell import LabError

__all__ = ["STORE_LOCK", "SWITCH_LOCK"]


@contextmanager
def _full(fill: Callable[[Host, int], None], free: Callable[[Host], None], scene: Scene) -> Iterator[None]:
    fill(scene.host, scene.random.choice((0, 0, 4096, 65536, 500_000)))
    try:
        yield
    finally:
        free(scene.host)


def fill_disk(scene: Scene) -> None:
    with _full(Host.fill_disk, Host.free_disk, scene):
        time.sleep(scene.random.uniform(0.5, 8))


def fill_boot(scene: Scene) -> None:
    with _full(Host.fill_boot, Host.free_boot, scene):
        time.sleep(scene.random.uniform(0.5, 8))


# The limit is lowered rather than a file written: that costs no memory. What /run was mounted with comes back.
_LIMIT = r"""
before=$(sed -n 's|^[^ ]* [^ ]* [^ ]* [^ ]* /run .*[ ,]\({option}=[0-9]*[kmg]\{{0,1\}}\).*|\1|p' /proc/self/mountinfo)
used=$({used})
mount -o remount,{option}=$((used + {leave})){unit} /run || exit 1
sleep {seconds}
mount -o remount,"${{before:-{option}={otherwise}}}" /run
"""
_SPACE = {"option": "size", "unit": "k", "used": "df -k --output=used /run | tail -n 1", "otherwise": "20%"}
_INODES = {"option": "nr_inodes", "unit": "", "used": "df --output=iused /run | tail -n 1", "otherwise": "800k"}


def _limit_run(scene: Scene, leave: int, seconds: float, **words: str) -> None:
    script = _LIMIT.format(leave=leave, seconds=f"{seconds:.1f}", **words)
    # A host that goes down forgets it.
    with contextlib.suppress(LabError, subprocess.TimeoutExpired):
        scene.run(script, limit=seconds + 60, check=True)


def fill_run(scene: Scene) -> None:
    _limit_run(scene, scene.random.choice((0, 0, 4, 64)), scene.random.uniform(1, 8), **_SPACE)


def fill_run_for_long(scene: Scene) -> None:
    _limit_run(scene, 0, scene.random.uniform(10, 30), **_SPACE)


def use_up_inodes_of_run(scene: Scene) -> None:
    _limit_run(scene, scene.random.choice((0, 2)), scene.random.uniform(1, 15), **_INODES)


def collect_garbage(scene: Scene) -> None:
    for _turn in range(scene.random.randint(1, 3)):
        scene.run("nix-store --gc", limit=90)


def collect_old_generations(scene: Scene) -> None:
    scene.run("nix-collect-garbage -d", limit=90)


def hold(*paths: str) -> Callable[[Scene], None]:
    """Somebody else holds locks."""

    def wait(scene: Scene) -> None:
        with ExitStack() as held:
            for path in paths:
                held.enter_context(faulting.locked(scene.host, path))
            time.sleep(scene.random.choice((1, 4, 10, 25)) * scene.random.uniform(0.5, 1))

    return wait
