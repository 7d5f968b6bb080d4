# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deploy of one host, as a fault finds it: when it may happen, and what it leaves for those who look afterwards."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from integration import faulting
from integration.soak_controllers import Controller
from integration.soak_truth import Change, Truth

from lab import Host, bootloader
from lab.shell import LabError

# In the order in which a deployment passes them.
STATES = (
    *("checking", "activating", "settling", "window", "confirmed"),
    *("commit-check", "commit-profile", "commit-boot", "commit-verify", "committed"),
)
# Tools of the image: those of a system that is tried may all be broken.
TOOLS = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class Missed(Exception):
    """There was nothing left to do it to."""


class Impossible(Exception):
    """This machine cannot do it; the message says why."""


@dataclass
class Scene:
    """One deploy of one host, with what the fault did to it."""

    host: Host
    beside: Callable[[str], Controller]
    """Starts another controller on the host: `deploy`, or one of the other playbooks by its name."""
    deployment: Controller
    version: str
    """That of the system that is deployed."""
    theirs: str
    """The store path of a system of somebody else's; "" where there is none."""
    length: float
    """Seconds that a deploy takes on this machine as busy as it is, from begin to end."""
    random: Random
    allow: Callable[[str], None]
    """Says that somebody else may make a system the boot default."""
    changed: list[Change] = field(default_factory=list)
    """What somebody else has made live or the boot default."""
    controller_killed: bool = False
    controller_ends: bool = False
    """Whether the controller was told to end, and says so by itself."""
    rebooted: bool = False
    """Whether the host was made to go down, whatever it was at."""
    is_to_reboot: bool = False
    """Whether somebody beside may reboot it in good order."""
    in_rescue: bool = False
    """Whether somebody has asked for the host to leave its default target, and has not brought it back."""
    rescue_asked: float = 0
    """When that was."""
    dbus_killed: float = 0
    """When somebody has killed D-Bus, after which logind may not answer any more."""
    others: list[Controller] = field(default_factory=list)
    """Controllers beside the one that deploys."""

    @property
    def over(self) -> bool:
        """Whether the controller has ended."""
        return self.deployment.process.poll() is not None

    def run(self, script: str, limit: float = 60, check: bool = False) -> int:
        """A script for bash on the host, with tools that work; its exit code. LabError where the host is off."""
        return self.host.run(["/usr/bin/bash", "-c", script], timeout=limit, check=check, env=TOOLS).returncode

    @contextmanager
    def changes(self, live: str | None = None, boot: str | None = None) -> Iterator[Callable[[], None]]:
        """Somebody else changes a side; gives a function that says that it has worked."""
        began, worked = time.monotonic(), False
        if boot is not None:
            self.allow(boot)

        def sure() -> None:
            nonlocal worked
            worked = True

        try:
            yield sure
        finally:
            self.changed.append(Change(began, time.monotonic(), live, boot, worked))


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
            now = state(leader)
            if now in STATES and self.state in STATES and STATES.index(now) >= STATES.index(self.state):
                break
            if now == self.state or now in faulting.FINAL:
                break
            time.sleep(0.003)
        time.sleep(self.delay if self.state else self.delay * scene.length)


def state(leader: int | None) -> str:
    """The state of the open deployment, with as little work as can be: this looks hundreds of times a second."""
    for file in Path(f"/proc/{leader}/root/run/deploy-flake").glob("2*/state"):
        with contextlib.suppress(OSError):
            return file.read_text().strip()
    return ""


def unit_in_progress(scene: Scene, guarded: bool = False) -> None:
    """What wants a victim waits for the supervisor, and perhaps for its guard."""
    while not faulting.processes(scene.host) or (guarded and not faulting.guard(scene.host)):
        if scene.over:
            raise Missed
        time.sleep(0.01)


# The host, looked at from outside


def loader(host: Host) -> str:
    """The system that the lab's boot loader would start; "" where it would start none."""
    try:
        return name_of(host, bootloader.init_of(host.boot).removesuffix("/init"))
    except (LabError, OSError):
        # In the middle of a change, perhaps.
        return ""


def truth(host: Host) -> Truth:
    """What a host is, without a process inside; of a host that is off only what it boots is known."""
    live = profile = ""
    with contextlib.suppress(OSError):
        live = os.readlink(f"/proc/{host.leader}/root/run/current-system")
    with contextlib.suppress(OSError):
        profiles = host.root / "nix/var/nix/profiles"
        profile = name_of(host, os.readlink(profiles / os.readlink(profiles / "system")))
    return Truth(live, profile, loader(host))


def name_of(host: Host, system: str) -> str:
    """The system that runs where this one is booted or activated: one that wraps another one is that one then."""
    if (known := _NAMES.get(system)) is None:
        try:
            inside = os.readlink(f"{host.root}{system}/init")
        except OSError as error:
            # Perhaps not built yet, or gone.
            if error.errno != errno.EINVAL:
                return system
            inside = ""
        known = _NAMES[system] = inside.removesuffix("/init") if inside.startswith("/nix/store/") else system
    return known


_NAMES: dict[str, str] = {}
