# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The points of a commit, each a way to hold it there while something happens to the host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from integration.faulting import (
    QUICK,
    STORE_LOCK,
    SWITCH_LOCK,
    Deploying,
    deploying,
    directory,
    kill_main_process,
    last_record,
    locked,
    processes,
    setting_profile,
    settled,
    state,
    stopped,
    switching,
    units_stopped,
    wait_for,
)
from integration.playing import systems

from lab import Host, Lab

# Each of these brings a deployment to one point of its commit and holds it there; what holds it is let go of after the
# fault, since the undo needs the locks as well.
Point = Callable[[Deploying, Host, str], Iterator[None]]
Result = TypeVar("Result")


class Missed(Exception):
    """The point went by before it was seen: nothing is wrong with the host, which commits."""


STEPS = ("window", "confirmed", "commit-check", "commit-profile", "commit-boot", "commit-verify", "committed")


def again_if_missed(attempt: Callable[..., Result], *given: Any) -> Result:
    """A few times again, if the point was missed: on a busy machine it may be over between two looks at it."""
    for _attempt in range(5):
        with suppress(Missed):
            return attempt(*given)
    return attempt(*given)


@contextmanager
def at(point: Point, deployment: Deploying, host: Host, new: str) -> Iterator[None]:
    """Hold a deployment at a point; one that has missed it comes to its end first."""
    try:
        with contextmanager(point)(deployment, host, new):
            yield
    except Missed:
        deployment.end()
        settled(host)
        raise


def comes_to(deployment: Deploying, step: str, pause: float = 0.02, *others: str) -> None:
    """Wait for a step of a commit, which may not last."""
    later = STEPS[STEPS.index(step) + 1 :]
    try:
        now = deployment.wait_for(step, *others, *later, pause=pause)
    except AssertionError as error:
        # All else is a failure.
        if deployment.process.poll() != 0:
            raise
        raise Missed from error
    if now not in (step, *others):
        raise Missed


@contextmanager
def supervisor_stopped(host: Host, step: str) -> Iterator[None]:
    """Stop it in this step."""
    pids = processes(host)[:1]
    with stopped(*pids):
        if not pids or state(host) != step:
            raise Missed
        yield


def trial_before(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """The trial is asked for, and has not begun."""
    comes_to(deployment, "window", 0.02, "confirmed")
    with locked(host, SWITCH_LOCK):
        comes_to(deployment, "commit-check")
        yield


def trial_after(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """The trial is over, and its end was not seen."""
    comes_to(deployment, "commit-check", 0.001)
    wait_for(lambda: switching(host) or state(host) != "commit-check", pause=0.001)
    with supervisor_stopped(host, "commit-check"):
        wait_for(lambda: not switching(host))
        yield


def profile_not_moved(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """nix-env waits for its lock."""
    comes_to(deployment, "window", 0.02, "confirmed")
    with locked(host, STORE_LOCK):
        comes_to(deployment, "commit-profile")
        yield


def profile_moved(deployment: Deploying, host: Host, new: str) -> Iterator[None]:
    """The link has moved, and the supervisor has not seen it."""
    with ExitStack() as held:
        comes_to(deployment, "window", 0.02, "confirmed")
        with locked(host, STORE_LOCK):
            comes_to(deployment, "commit-profile")
            wait_for(lambda: setting_profile(host))
            held.enter_context(stopped(processes(host)[0]))
        wait_for(lambda: systems(host).boot_default == new)
        yield


def boot_before(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """The link has moved; the boot loader's turn has come."""
    with ExitStack() as held:
        comes_to(deployment, "window", 0.02, "confirmed")
        with locked(host, STORE_LOCK):
            comes_to(deployment, "commit-profile")
            held.enter_context(locked(host, SWITCH_LOCK))
        comes_to(deployment, "commit-boot")
        yield


def boot_after(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """The boot loader is written, and nobody has seen it."""
    comes_to(deployment, "commit-boot", 0.001)
    if wait_for(lambda: switching(host) or state(host) != "commit-boot", pause=0.001) and not switching(host):
        raise Missed
    with supervisor_stopped(host, "commit-boot"):
        wait_for(lambda: not switching(host))
        yield


def commit_fails(lab: Lab, host: Host, new: str) -> str:
    """The boot loader starts the new system, and cannot be written any more; what was said."""
    before = systems(host).boot_default

    def attempt() -> str:
        if systems(host).boot_default != before:
            with deploying(lab, host, before) as back:
                assert back.end() == 0, back.output
            settled(host)
        with deploying(lab, host, new, limits=QUICK) as deployment:
            with at(boot_after, deployment, host, new):
                host.run("mount -o remount,ro /boot", check=True)
                kill_main_process(host)
            assert deployment.end() != 0
            return deployment.output

    output = again_if_missed(attempt)
    wait_for(lambda: not state(host))
    assert last_record(host)["outcome"] == "commit-failed", f"{json.dumps(last_record(host), indent=1)}\n{output}"
    now = systems(host)
    assert (now.running, now.boot_default, now.loader) == (before, before, new), last_record(host)
    return output


def verify(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """All is done, and the last look at it goes on."""
    comes_to(deployment, "commit-verify", 0.0005)
    with units_stopped(host):
        yield


def recorded(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """Its line is written and it is not open any more; its directory is still there."""
    opened = host.root / "var/lib/deploy-flake/open.json"
    comes_to(deployment, "commit-verify", 0.0005, "committed")
    wait_for(lambda: not opened.exists(), pause=0.0005)
    # The whole host: another process tidies up.
    freezer = host.cgroup / "cgroup.freeze"
    freezer.write_text("1")
    try:
        yield
    finally:
        # Gone with the power.
        with suppress(FileNotFoundError):
            freezer.write_text("0")


def only_confirmed(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """It is confirmed, and the supervisor has not seen it."""
    comes_to(deployment, "window")
    with supervisor_stopped(host, "window"):
        where = wait_for(lambda: directory(host))
        wait_for((where / "confirmed").exists)
        yield


def stray_generation(deployment: Deploying, host: Host, new: str) -> Iterator[None]:
    """The new generation is there and the link has not moved: nix-env leaves that on a full disk."""
    comes_to(deployment, "window", 0.02, "confirmed")
    with locked(host, STORE_LOCK):
        comes_to(deployment, "commit-profile")
        (host.root / f"nix/var/nix/profiles/system-{generations(host)[-1] + 1}-link").symlink_to(new)
        yield


def generations(host: Host) -> list[int]:
    """The numbers of the host's generations."""
    return sorted(int(link.name.split("-")[1]) for link in (host.root / "nix/var/nix/profiles").glob("system-*-link"))


POINTS: list[tuple[Point, bool]] = [
    (trial_before, False),
    (trial_after, False),
    (profile_not_moved, False),
    (profile_moved, True),
    (boot_before, True),
    (boot_after, True),
    (verify, True),
    (only_confirmed, False),
    (stray_generation, False),
    (recorded, True),
]
