# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The points of a commit, each a way to hold it there while something happens to the host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from integration.faulting import (
    SHORT,
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
    state,
    stopped,
    switching,
    wait_for,
)
from integration.playing import systems

from lab import Host, Lab

# Each of these brings a deployment to one point of its commit and holds it there; what holds it is let go of after the
# fault, since the undo needs the locks as well.
Point = Callable[[Deploying, Host, str], Iterator[None]]


class Missed(Exception):
    """The point went by before it was seen: nothing is wrong with the host, which has committed."""


def trial_before(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """The trial is asked for, and has not begun."""
    deployment.wait_for("window", "confirmed")
    with locked(host, SWITCH_LOCK):
        deployment.wait_for("commit-check")
        yield


def trial_after(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """The trial is over, and its end was not seen."""
    deployment.wait_for("commit-check", pause=0.001)
    wait_for(lambda: switching(host), pause=0.001)
    with stopped(processes(host)[0]):
        wait_for(lambda: not switching(host))
        yield


def profile_not_moved(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """nix-env waits for its lock."""
    deployment.wait_for("window", "confirmed")
    with locked(host, STORE_LOCK):
        deployment.wait_for("commit-profile")
        yield


def profile_moved(deployment: Deploying, host: Host, new: str) -> Iterator[None]:
    """The link has moved, and the supervisor has not seen it."""
    with ExitStack() as held:
        deployment.wait_for("window", "confirmed")
        with locked(host, STORE_LOCK):
            deployment.wait_for("commit-profile")
            wait_for(lambda: setting_profile(host))
            held.enter_context(stopped(processes(host)[0]))
        wait_for(lambda: systems(host).boot_default == new)
        yield


def boot_before(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """The link has moved; the boot loader's turn has come."""
    with ExitStack() as held:
        deployment.wait_for("window", "confirmed")
        with locked(host, STORE_LOCK):
            deployment.wait_for("commit-profile")
            held.enter_context(locked(host, SWITCH_LOCK))
        deployment.wait_for("commit-boot")
        yield


def boot_after(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """The boot loader is written, and nobody has seen it."""
    deployment.wait_for("commit-boot", pause=0.001)
    if wait_for(lambda: switching(host) or state(host) != "commit-boot", pause=0.001) and not switching(host):
        raise Missed
    with stopped(processes(host)[0]):
        wait_for(lambda: not switching(host))
        yield


def commit_fails(lab: Lab, host: Host, new: str) -> str:
    """The boot loader starts the new system, and cannot be written any more; what was said."""
    before = systems(host).boot_default
    with deploying(lab, host, new, limits=SHORT | {"settle": 0}) as deployment:
        with contextmanager(boot_after)(deployment, host, new):
            host.run("mount -o remount,ro /boot", check=True)
            kill_main_process(host)
        assert deployment.end() != 0
        output = deployment.output
    wait_for(lambda: not state(host))
    assert last_record(host)["outcome"] == "commit-failed", f"{json.dumps(last_record(host), indent=1)}\n{output}"
    now = systems(host)
    assert (now.running, now.boot_default, now.loader) == (before, before, new), last_record(host)
    return output


def verify(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """All is done, and the last look at it goes on."""
    deployment.wait_for("commit-verify", pause=0.0005)
    with stopped(*processes(host)):
        yield


def recorded(deployment: Deploying, host: Host, _new: str) -> Iterator[None]:
    """Its line is written and it is not open any more; its directory is still there."""
    opened = host.root / "var/lib/deploy-flake/open.json"
    deployment.wait_for("commit-verify", "committed", pause=0.0005)
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
    deployment.wait_for("window")
    with stopped(processes(host)[0]):
        where = wait_for(lambda: directory(host))
        wait_for((where / "confirmed").exists)
        yield


def stray_generation(deployment: Deploying, host: Host, new: str) -> Iterator[None]:
    """The new generation is there and the link has not moved: nix-env leaves that on a full disk."""
    deployment.wait_for("window", "confirmed")
    with locked(host, STORE_LOCK):
        deployment.wait_for("commit-profile")
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
