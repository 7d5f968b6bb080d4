# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of the randomised test: what happens to a host while it is deployed, and when."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from integration import faulting
from integration.faulting import STORE_LOCK, SWITCH_LOCK, UNIT, Deploying

from lab import Host
from lab.shell import LabError

# In the order in which a deployment passes them.
STATES = (
    *("checking", "activating", "settling", "window", "confirmed"),
    *("commit-check", "commit-profile", "commit-boot", "commit-verify", "committed"),
)


class Missed(Exception):
    """There was nothing left to do it to."""


@dataclass
class Scene:
    """One deploy of one host, with what the fault did to it."""

    host: Host
    deploy: Callable[[str], Deploying]
    """Starts another deploy of the host, of a flake of that version."""
    deployment: Deploying
    length: float
    """Seconds that a deploy takes on this machine as busy as it is, from begin to end."""
    random: Random
    controller_killed: bool = False
    rebooted: bool = False
    disk_was_full: bool = False
    other: Deploying | None = None

    @property
    def over(self) -> bool:
        """Whether the controller has ended."""
        return self.deployment.process.poll() is not None


# When


@dataclass(frozen=True)
class Moment:
    """A part of a deploy's length after its start, or so many seconds after a state was seen."""

    state: str
    delay: float

    def __str__(self) -> str:
        return f"{self.state} + {self.delay:.2f} s" if self.state else f"{self.delay:.0%}"

    def wait(self, scene: Scene) -> None:
        """Wait for it, or for the end of the deploy."""
        leader = scene.host.leader
        while self.state and not scene.over:
            now = _state(leader)
            if now in STATES and self.state in STATES and STATES.index(now) >= STATES.index(self.state):
                break
            if now == self.state or now in faulting.FINAL:
                break
            time.sleep(0.003)
        time.sleep(self.delay if self.state else self.delay * scene.length)


def _state(leader: int | None) -> str:
    """The state of the open deployment, with as little work as can be: this looks hundreds of times a second."""
    for file in Path(f"/proc/{leader}/root/run/deploy-flake").glob("2*/state"):
        with contextlib.suppress(OSError):
            return file.read_text().strip()
    return ""


# What


def _unit_in_progress(scene: Scene, guarded: bool = False) -> None:
    """Kills want a victim: wait for the supervisor, and perhaps for its guard."""
    while not faulting.processes(scene.host) or (guarded and not faulting.guard(scene.host)):
        if scene.over:
            raise Missed
        time.sleep(0.01)


def _kill(how: Callable[[Host], None], guarded: bool = False) -> Callable[[Scene], None]:
    def kill(scene: Scene) -> None:
        _unit_in_progress(scene, guarded)
        try:
            how(scene.host)
        except (LabError, OSError, IndexError, subprocess.CalledProcessError) as error:
            # It ended this very moment.
            raise Missed from error

    return kill


def kill_guard(host: Host) -> None:
    host.run(f"systemctl kill -s KILL {faulting.guard(host)}", check=True)


def kill_every_process_again_and_again(scene: Scene) -> None:
    """Both units, and what comes after them."""
    _unit_in_progress(scene)
    for _turn in range(scene.random.randint(2, 5)):
        for pid in [
            *faulting.processes(scene.host),
            *faulting.processes(scene.host, faulting.guard(scene.host) or "-"),
        ]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(scene.random.uniform(0.1, 1.5))


def kill_controller(scene: Scene) -> None:
    """Every process of it, its workers' and ssh's sessions too."""
    if scene.over:
        raise Missed
    scene.controller_killed = True
    scene.deployment.kill()


def kill_controller_and_both_units(scene: Scene) -> None:
    _unit_in_progress(scene, guarded=True)
    kill_controller(scene)
    with contextlib.suppress(Missed):
        _kill(faulting.kill_both_units)(scene)


def kill_build(scene: Scene) -> None:
    """The unit that builds, as long as it does."""
    slices = scene.host.cgroup / "machine/payload/system.slice"
    while not (found := list(slices.glob("deploy-flake-build-*/cgroup.procs"))):
        if scene.over or faulting.processes(scene.host):
            raise Missed
        time.sleep(0.005)
    for pid in found[0].read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def cut_link(scene: Scene) -> None:
    scene.host.cut()
    time.sleep(scene.random.choice((0.5, 3, 8, 20)) * scene.random.uniform(0.5, 1))
    scene.host.mend()


def lose_power(scene: Scene) -> None:
    scene.rebooted = True
    scene.host.power_off()
    time.sleep(scene.random.uniform(0, 2))
    scene.host.power_on(wait=False)


def _reboot(*options: str) -> Callable[[Scene], None]:
    def reboot(scene: Scene) -> None:
        before = scene.host.leader
        scene.rebooted = True
        with contextlib.suppress(LabError, subprocess.TimeoutExpired):
            scene.host.run(["systemctl", "reboot", *options], timeout=20)
        faulting.wait_for(lambda: scene.host.leader not in (before, None), 120, 0.1, "did not come up again")

    return reboot


def _storm(*verbs: str) -> Callable[[Scene], None]:
    def storm(scene: Scene) -> None:
        for turn in range(scene.random.randint(8, 20)):
            scene.host.run(["systemctl", verbs[turn % len(verbs)]])
            time.sleep(0.1)

    return storm


@contextmanager
def _full(fill: Callable[[Host, int], None], free: Callable[[Host], None], scene: Scene) -> Iterator[None]:
    fill(scene.host, scene.random.choice((0, 0, 4096, 65536, 500_000)))
    try:
        yield
    finally:
        free(scene.host)


def fill_disk(scene: Scene) -> None:
    scene.disk_was_full = True
    with _full(Host.fill_disk, Host.free_disk, scene):
        time.sleep(scene.random.uniform(0.5, 8))


def fill_boot(scene: Scene) -> None:
    with _full(Host.fill_boot, Host.free_boot, scene):
        time.sleep(scene.random.uniform(0.5, 8))


def _stop(pids: list[int], seconds: float) -> None:
    try:
        with faulting.stopped(*pids):
            time.sleep(seconds)
    except ProcessLookupError as error:
        raise Missed from error


def freeze_pid_1(scene: Scene) -> None:
    leader = scene.host.leader
    assert leader is not None
    _stop([leader], scene.random.choice((1, 4, 10, 35)) * scene.random.uniform(0.5, 1))


def freeze_supervisor(scene: Scene) -> None:
    _unit_in_progress(scene)
    _stop(faulting.processes(scene.host)[:1], scene.random.choice((1, 4, 10, 30)) * scene.random.uniform(0.5, 1))


def freeze_whole_unit(scene: Scene) -> None:
    _unit_in_progress(scene)
    _stop(faulting.processes(scene.host), scene.random.choice((1, 4, 10, 30)) * scene.random.uniform(0.5, 1))


def collect_garbage(scene: Scene) -> None:
    for _turn in range(scene.random.randint(1, 3)):
        scene.host.run(["nix-store", "--gc"], timeout=90)


def collect_old_generations(scene: Scene) -> None:
    scene.host.run(["nix-collect-garbage", "-d"], timeout=90)


def another_controller(scene: Scene) -> None:
    scene.other = scene.deploy("other")


def _hold(*paths: str) -> Callable[[Scene], None]:
    def hold(scene: Scene) -> None:
        with ExitStack() as held:
            for path in paths:
                held.enter_context(faulting.locked(scene.host, path))
            time.sleep(scene.random.choice((1, 4, 10, 25)) * scene.random.uniform(0.5, 1))

    return hold


def stop_unit(host: Host) -> None:
    host.run(f"systemctl stop {UNIT}", check=True)


FAULTS: dict[str, Callable[[Scene], None]] = {
    "kill the supervisor's main process": _kill(faulting.kill_main_process),
    "systemctl kill of its unit": _kill(faulting.kill_whole_unit),
    "cgroup.kill of its unit": _kill(faulting.kill_whole_cgroup),
    "kill the guard": _kill(kill_guard, guarded=True),
    "kill both units": _kill(faulting.kill_both_units, guarded=True),
    "kill all again and again": kill_every_process_again_and_again,
    "stop the supervisor's unit": _kill(stop_unit),
    "kill the controller": kill_controller,
    "kill the controller and both units": kill_controller_and_both_units,
    "kill the build": kill_build,
    "cut the link": cut_link,
    "power off and on": lose_power,
    "reboot": _reboot(),
    "reboot -f": _reboot("--force"),
    "daemon-reload storm": _storm("daemon-reload"),
    "daemon-reexec storm": _storm("daemon-reload", "daemon-reexec"),
    "fill the disk": fill_disk,
    "fill /boot": fill_boot,
    "freeze PID 1": freeze_pid_1,
    "freeze the supervisor": freeze_supervisor,
    "freeze its whole unit": freeze_whole_unit,
    "collect garbage": collect_garbage,
    "nix-collect-garbage -d": collect_old_generations,
    "another controller deploys": another_controller,
    "hold the lock of switch-to-configuration": _hold(SWITCH_LOCK),
    "hold the lock of the profile": _hold(STORE_LOCK),
}
# Configurations with a fault of their own; the first are good ones.
GOOD = ("", "", "", "", "", "new-units", "safe-checks", "new-kernel")
BAD = (
    *("exit-1", "exit-1-late", "exit-2", "exit-4", "dies-later", "hangs", "hangs-ignoring-term", "hangs-orphan"),
    *("start-hangs", "firewall", "sshd-broken-config", "broken-dbus", "broken-logind", "broken-timeout", "broken-path"),
    *("boot-fails", "boot-fails-after-write", "check-refuses-way-back", "user-activation-fails"),
)


@dataclass(frozen=True)
class Choice:
    """All that a seed decides."""

    fault: str
    moment: Moment
    configuration: str
    random: Random
    second: str = ""
    """Another fault that begins a little later than the first, where two are wanted."""

    @classmethod
    def of(cls, seed: int, two: bool = False) -> Choice:
        random = Random(seed)
        fault = random.choice(list(FAULTS))
        configuration = random.choice(BAD) if random.random() < 0.3 else random.choice(GOOD)
        if random.random() < 0.5:
            moment = Moment("", random.random())
        else:
            states = ("activating", "settling", "rolling-back") if configuration in BAD else STATES[:-1]
            moment = Moment(random.choice(states), random.choice((0, random.uniform(0, 0.5))))
        second = random.choice([name for name in FAULTS if name != fault]) if two else ""
        return cls(fault, moment, configuration, random, second)

    def happen(self, scene: Scene) -> None:
        """Do it, and wait until it is over."""
        with ThreadPoolExecutor() as pool:
            acts = [pool.submit(FAULTS[self.fault], scene)]
            if self.second:
                time.sleep(self.random.uniform(0, 2))
                acts.append(pool.submit(FAULTS[self.second], scene))
        # One of two is enough, since the first may have switched the host off.
        missed = [error for act in acts if (error := act.exception())]
        harmless = (Missed, LabError, subprocess.TimeoutExpired) if self.second else Missed
        for error in missed:
            if not isinstance(error, harmless) or len(missed) == len(acts):
                raise error
