# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the randomised test: the machine goes down, systemd leaves its target, or something stands still."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable

from integration import faulting
from integration.soak_scene import Missed, Scene, unit_in_progress

from lab.shell import LabError

# While a deployment is open: what leaves the default target without one, nobody brings back.
OPEN = ("activating", "settling", "window", "confirmed", "commit-profile", "commit-boot", "rolling-back")


def lose_power(scene: Scene) -> None:
    scene.rebooted = True
    scene.host.power_off()
    time.sleep(scene.random.uniform(0, 2))
    scene.host.power_on(wait=False)


def reboot(*options: str) -> Callable[[Scene], None]:
    def again(scene: Scene) -> None:
        before = scene.host.leader
        scene.rebooted = True
        with contextlib.suppress(LabError, subprocess.TimeoutExpired):
            scene.run(" ".join(("systemctl", "reboot", *options)), limit=20)
        faulting.wait_for(lambda: scene.host.leader not in (before, None), 120, 0.1, "did not come up again")

    return again


def soft_reboot(scene: Scene) -> None:
    """Everything but the kernel and /run begins anew."""
    unit_in_progress(scene)
    scene.run("systemctl --no-block soft-reboot", limit=20)
    time.sleep(2)


def rescue(*words: str) -> Callable[[Scene], None]:
    """Somebody at the console, or a script of theirs."""

    def leave(scene: Scene) -> None:
        unit_in_progress(scene)
        scene.in_rescue, scene.rescue_asked = True, time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            scene.run(f"systemctl --no-block {' '.join(words)}", limit=20)

    return leave


def storm(*verbs: str) -> Callable[[Scene], None]:
    def reload(scene: Scene) -> None:
        for turn in range(scene.random.randint(8, 20)):
            scene.run(f"systemctl {verbs[turn % len(verbs)]}")
            time.sleep(0.1)

    return reload


def _stop(pids: list[int], seconds: float) -> None:
    try:
        with faulting.stopped(*pids):
            time.sleep(seconds)
    except ProcessLookupError as error:
        raise Missed from error


def freeze_pid_1(scene: Scene) -> None:
    leader = scene.host.leader
    if leader is None:
        raise Missed
    _stop([leader], scene.random.choice((1, 4, 10, 35)) * scene.random.uniform(0.5, 1))


def freeze_supervisor(scene: Scene) -> None:
    unit_in_progress(scene)
    _stop(faulting.processes(scene.host)[:1], scene.random.choice((1, 4, 10, 30)) * scene.random.uniform(0.5, 1))


def freeze_whole_unit(scene: Scene) -> None:
    unit_in_progress(scene)
    _stop(faulting.processes(scene.host), scene.random.choice((1, 4, 10, 30)) * scene.random.uniform(0.5, 1))


def freeze_host(scene: Scene) -> None:
    """Every process of it stands still, as that of a virtual machine that is moved; its clocks go on."""
    freezer = scene.host.cgroup / "machine/cgroup.freeze"
    # Gone with the power.
    with contextlib.suppress(OSError):
        freezer.write_text("1")
        try:
            time.sleep(scene.random.choice((1, 4, 10, 25)) * scene.random.uniform(0.5, 1))
        finally:
            freezer.write_text("0")
