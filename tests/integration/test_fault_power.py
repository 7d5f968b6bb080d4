# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power is lost, or the host is told to shut down, while a deployment is at work."""

from __future__ import annotations

import time
from functools import partial

import pytest
from integration.committing import (
    POINTS,
    Point,
    again_if_missed,
    at,
    boot_after,
    boot_before,
    profile_moved,
    recorded,
    stray_generation,
    trial_after,
)
from integration.faulting import (
    QUICK,
    SHORT,
    Deploying,
    at_once,
    build,
    deploying,
    directory,
    is_whole,
    last_record,
    next_system,
    settled,
    state,
    wait_for,
)
from integration.playing import outcomes, systems

from lab import Host, Lab

INFO = {"hosts": "all", "gather_facts": False, "tasks": [{"deploy_flake.nixos.system_info": {}, "become": True}]}
STATES: list[tuple[str, dict[str, int]]] = [("activating", {}), ("settling", {"settle": 30}), ("window", {})]


def tried(host: Host, name: str) -> str:
    """A system whose deployment stays in this state."""
    return build(host, "hangs") if name == "activating" else next_system(host)


def pull_the_plug(host: Host) -> None:
    host.power_off()
    host.power_on()


def test_power_lost_while_a_system_is_tried(lab: Lab, whole: dict[str, Host]) -> None:
    """Boots the previous system; system_info and the next run say that a deployment was interrupted."""

    def case(number: int, host: Host) -> None:
        name, limits = STATES[number]
        before = systems(host).running
        with deploying(lab, host, tried(host, name), confirm=False, limits=SHORT | limits) as deployment:
            deployment.wait_for(name)
            lost = wait_for(lambda: directory(host)).name
            deployment.kill()
            pull_the_plug(host)
        now = systems(host)
        assert (now.running, now.booted, now.boot_default, now.loader) == (before, before, before, before)
        with Deploying(lab, host, [INFO]) as asked:
            assert asked.end() == 0
            assert f"deployment {lost} was left unfinished; the next deployment repairs it" in asked.output, (
                asked.output
            )
        new = next_system(host)
        with deploying(lab, host, new) as again:
            assert again.end() == 0, again.output
            assert "was interrupted by a power loss or reboot" in again.output, again.output
        is_whole(host, new, "committed")
        assert outcomes(host)[lost] == "interrupted"

    at_once({host: partial(case, number) for number, host in enumerate(whole.values())})


@pytest.mark.parametrize(
    "points",
    [(trial_after, stray_generation, profile_moved), (boot_before, boot_after, recorded)],
    ids=["back", "forward"],
)
def test_power_lost_between_the_steps_of_the_commit(
    lab: Lab, whole: dict[str, Host], points: tuple[Point, ...]
) -> None:
    """Whatever the boot loader starts then: the next run makes boot loader and profile agree, and goes on."""

    def case(number: int, host: Host) -> None:
        point = points[number]
        forward = dict(POINTS)[point]
        new = next_system(host)
        with deploying(lab, host, new, limits=QUICK) as deployment:
            lost = wait_for(lambda: directory(host)).name
            with at(point, deployment, host, new):
                deployment.kill()
                host.power_off()
            host.power_on()
        with deploying(lab, host, new) as again:
            assert again.end() == 0, again.output
        is_whole(host, new, "committed")
        assert outcomes(host)[lost] == ("committed" if forward else "interrupted"), point.__name__

    at_once({host: partial(again_if_missed, partial(case, number)) for number, host in enumerate(whole.values())})


def test_shut_down_in_the_middle(lab: Lab, whole: dict[str, Host]) -> None:
    """It is not held up; the previous system boots, and the controller is told."""

    def case(number: int, host: Host) -> None:
        name, limits = STATES[number]
        before, boot = systems(host).running, host.leader
        with deploying(lab, host, tried(host, name), confirm=False, limits=SHORT | limits) as deployment:
            deployment.wait_for(name)
            told = time.monotonic()
            host.run(["systemctl", "--no-block", "reboot"], check=True)
            wait_for(lambda: host.leader != boot, 40)
            # A shutdown without a deployment takes a second or two here.
            assert time.monotonic() - told < 30
            wait_for(lambda: host.leader not in (None, boot), 30)
            host.wait_running()
            failed = deployment.end() != 0
            assert failed or name == "window", deployment.output
            assert failed == ("was shut down during the deployment" in deployment.output), deployment.output
        is_whole(host, before, "interrupted")
        assert systems(host).booted == before

    at_once({host: partial(case, number) for number, host in enumerate(whole.values())})


def test_shut_down_while_committing(lab: Lab, whole: dict[str, Host]) -> None:
    """Before the link has moved the previous system boots, after it the new one."""

    def case(number: int, host: Host) -> None:
        point, forward = POINTS[2 + number]
        before, new, boot = systems(host).running, next_system(host), host.leader
        with deploying(lab, host, new, limits=QUICK) as deployment:
            with at(point, deployment, host, new):
                host.run(["systemctl", "--no-block", "reboot"], check=True)
                # Either may be over before it is seen.
                wait_for(lambda: state(host) in ("rolling-back", "commit-boot") or host.leader != boot, 20)
            wait_for(lambda: host.leader not in (None, boot), 60)
            host.wait_running()
            deployment.end()
        settled(host)
        now, expected = systems(host), new if forward else before
        assert (now.running, now.boot_default, now.loader) == (expected, expected, expected), last_record(host)
        assert last_record(host)["outcome"] == ("committed" if forward else "interrupted"), last_record(host)

    at_once({host: partial(again_if_missed, partial(case, number)) for number, host in enumerate(whole.values())})
