# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the randomised test: somebody kills what works on a host, or the controller."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable

from integration import faulting
from integration.soak_scene import Missed, Scene, unit_in_progress

from lab import Host
from lab.shell import LabError


def _victim(how: Callable[[Host], None], guarded: bool = False) -> Callable[[Scene], None]:
    def kill(scene: Scene) -> None:
        unit_in_progress(scene, guarded)
        try:
            how(scene.host)
        except (LabError, OSError, IndexError, subprocess.SubprocessError) as error:
            # It ended this very moment.
            raise Missed from error

    return kill


def _kill_guard(host: Host) -> None:
    host.run(["/usr/bin/systemctl", "kill", "-s", "KILL", faulting.guard(host)], check=True)


def _stop_unit(host: Host) -> None:
    host.run(["/usr/bin/systemctl", "stop", faulting.UNIT], check=True)


main_process = _victim(faulting.kill_main_process)
whole_unit = _victim(faulting.kill_whole_unit)
whole_cgroup = _victim(faulting.kill_whole_cgroup)
the_guard = _victim(_kill_guard, guarded=True)
both_units = _victim(faulting.kill_both_units, guarded=True)
stop_unit = _victim(_stop_unit)


def all_again_and_again(scene: Scene) -> None:
    """Both units, and what comes after them."""
    unit_in_progress(scene)
    for _turn in range(scene.random.randint(2, 5)):
        guard = faulting.guard(scene.host) or "-"
        _kill([*faulting.processes(scene.host), *faulting.processes(scene.host, guard)])
        time.sleep(scene.random.uniform(0.1, 1.5))


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def controller(scene: Scene) -> None:
    """Every process of it, its workers' and ssh's sessions too."""
    if scene.over:
        raise Missed
    scene.controller_killed = True
    scene.deployment.kill()


def controller_and_both_units(scene: Scene) -> None:
    unit_in_progress(scene, guarded=True)
    controller(scene)
    with contextlib.suppress(Missed):
        both_units(scene)


def command(scene: Scene) -> None:
    """Its main process alone, as `kill -9` does: what it has started has to end by itself."""
    if scene.over:
        raise Missed
    scene.controller_killed = True
    scene.deployment.tell(signal.SIGKILL)
    scene.deployment.process.wait()


def interrupt(scene: Scene) -> None:
    """As Ctrl-C, once."""
    if scene.over:
        raise Missed
    scene.controller_ends = True
    scene.deployment.tell(signal.SIGINT)


def interrupt_twice(scene: Scene) -> None:
    interrupt(scene)
    time.sleep(scene.random.uniform(0.2, 3))
    scene.deployment.tell(signal.SIGINT)


def build(scene: Scene) -> None:
    """The unit that builds, as long as it does."""
    slices = scene.host.cgroup / "machine/payload/system.slice"
    while not (found := list(slices.glob("deploy-flake-build-*/cgroup.procs"))):
        if scene.over or faulting.processes(scene.host):
            raise Missed
        time.sleep(0.005)
    with contextlib.suppress(OSError):
        _kill([int(pid) for pid in found[0].read_text().split()])


def service(unit: str) -> Callable[[Scene], None]:
    """All that a service has, perhaps twice; somebody needs it a moment later, where it is not started by itself."""

    def kill_it(scene: Scene) -> None:
        if not (pids := faulting.processes(scene.host, unit)):
            raise Missed
        _kill(pids)
        time.sleep(scene.random.uniform(0, 3))
        if scene.random.random() < 0.3:
            _kill(faulting.processes(scene.host, unit))
            time.sleep(scene.random.uniform(0, 1))
        # In emergency mode, or on a host that is going down, it can't be.
        with contextlib.suppress(LabError, subprocess.TimeoutExpired):
            scene.run(f"systemctl start {unit}", limit=30)
        if unit == "dbus.service":
            scene.dbus_killed = time.monotonic()

    return kill_it


def nix_daemon(scene: Scene) -> None:
    """While somebody has it build, which root does without it."""
    while not faulting.processes(scene.host, "nix-daemon.service"):
        if scene.over or faulting.processes(scene.host):
            raise Missed
        time.sleep(0.01)
    service("nix-daemon.service")(scene)
