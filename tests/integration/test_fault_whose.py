# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment did and what somebody else did: its own is undone, theirs is kept, on each side by itself."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from integration.faulting import (
    SHORT,
    SWITCH_LOCK,
    UNIT,
    Deploying,
    at_once,
    build,
    deploying,
    directory,
    guard,
    inside,
    is_whole,
    journal,
    kill_both_units,
    last_record,
    locked,
    next_system,
    nobody_confirms,
    settled,
    state,
    switching,
    units_stopped,
    wait_for,
)
from integration.playing import Systems, systems

from lab import Host, Lab

PROFILE = "/nix/var/nix/profiles/system"
SHAPES = ("joined", "wrapped", "joined")


def live(host: Host) -> str:
    """What /run/current-system names, without a process inside."""
    return str(inside(host, "/run/current-system").readlink())


def inner(host: Host, toplevel: str) -> str:
    """The system inside a toplevel: what it makes live, and what the boot loader's entry names."""
    return host.run(f"readlink -f {toplevel}/init", check=True).stdout.strip().removesuffix("/init")


def by_somebody_else(host: Host, toplevel: str, action: str) -> None:
    """Switch as any other tool does."""
    profile = "" if action == "test" else f"nix-env -p {PROFILE} --set {toplevel} && "
    host.run(f"{profile}{toplevel}/bin/switch-to-configuration {action}", check=True)


def came_to(host: Host, outcome: str, running: str, boots: str) -> None:
    """How a deployment ended, and that the host runs and boots what its record says."""
    settled(host)
    now, record = systems(host), last_record(host)
    text = f"{host.name}: {record}\n{journal(host)}"
    assert record.get("outcome") == outcome, text
    assert (now.running, now.boot_default, now.loader) == (running, boots, inner(host, boots)), text
    assert (record["live"], record["boot"]) == (running, boots), text
    assert host.run("readlink -f /etc/static").stdout.strip() == f"{running}/etc", text
    assert host.ssh("true").returncode == 0, text


# Wrapped systems


def test_wrapped_system_that_nobody_can_reach(lab: Lab, whole: dict[str, Host]) -> None:
    """What it made live has another path, and is its own all the same."""

    def case(shape: str, host: Host) -> None:
        before, system = systems(host).running, build(host, f"{shape}-firewall")
        assert inner(host, system) != system
        with deploying(lab, host, system) as deployment:
            deployment.wait_for("window")
            assert live(host) == inner(host, system)
            nobody_confirms(host)
            assert deployment.end() != 0
        is_whole(host, before, "rolled-back")

    at_once({host: partial(case, shape) for host, shape in zip(whole.values(), SHAPES, strict=True)})


def test_wrapped_system_is_committed(lab: Lab, whole: dict[str, Host]) -> None:
    """And deployed again, and booted."""

    def case(shape: str, host: Host) -> None:
        system = build(host, shape)
        with deploying(lab, host, system) as deployment:
            assert deployment.end() == 0, deployment.output
        came_to(host, "committed", inner(host, system), system)
        with deploying(lab, host, system) as again:
            assert again.end() == 0, again.output
        came_to(host, "committed", inner(host, system), system)
        host.power_off()
        host.power_on()
        assert systems(host) == Systems(inner(host, system), system, inner(host, system), inner(host, system))
        ordinary = next_system(host)
        with deploying(lab, host, ordinary) as away:
            assert away.end() == 0, away.output
        is_whole(host, ordinary, "committed")

    at_once({host: partial(case, shape) for host, shape in zip(whole.values(), SHAPES, strict=True)})


def test_wrapped_system_and_a_kill_inside_the_call(lab: Lab, whole: dict[str, Host]) -> None:
    """Nobody has seen what `test` made live: the path of the system inside, which no deployment had named."""

    def case(shape: str, host: Host) -> None:
        before, system = systems(host).running, build(host, f"{shape}-slow")
        with deploying(lab, host, system, confirm=False) as deployment:
            deployment.wait_for("activating")
            wait_for(lambda: live(host) == inner(host, system))
            assert state(host) == "activating"
            kill_both_units(host)
            assert deployment.end() != 0
        is_whole(host, before, "rolled-back")

    at_once({host: partial(case, shape) for host, shape in zip(whole.values(), SHAPES, strict=True)})


# Somebody else


@pytest.mark.parametrize("whose", ["another", "the same"])
def test_only_the_boot_default_is_moved(lab: Lab, whole: dict[str, Host], whose: str) -> None:
    """As an unattended upgrade does, which confirms nothing: what is live is undone, the boot default is theirs."""
    host = whole["host1" if whose == "another" else "host2"]
    before, ours = systems(host).running, build(host, "firewall")
    theirs = build(host, version="theirs") if whose == "another" else ours
    with deploying(lab, host, ours) as deployment:
        deployment.wait_for("window")
        by_somebody_else(host, theirs, "boot")
        nobody_confirms(host)
        assert deployment.end() != 0
        said = deployment.output
    came_to(host, "superseded", before, theirs)
    assert host.run("systemctl is-active firewall.service").stdout.strip() == "inactive"
    assert f"It runs {before} (the previous system) and would boot {theirs}" in said, said


def test_the_boot_default_is_moved_and_the_system_confirmed(lab: Lab, whole: dict[str, Host]) -> None:
    """Theirs is kept, and ours is not committed over it; so it is not left live either."""
    host = whole["host3"]
    before, ours, theirs = systems(host).running, next_system(host), build(host, version="theirs")
    with deploying(lab, host, ours, limits=SHORT | {"settle": 3}) as deployment:
        deployment.wait_for("settling")
        # Else it might be committed first.
        with units_stopped(host):
            by_somebody_else(host, theirs, "boot")
        assert deployment.end() != 0
    came_to(host, "superseded", before, theirs)


@pytest.mark.parametrize("same", [False, True], ids=["another", "the same"])
def test_both_sides_are_moved(lab: Lab, whole: dict[str, Host], same: bool) -> None:
    """Who switches to the very system that is tried has made it live as well, and the paths are what they were."""
    host = whole["host2" if same else "host3"]
    ours = next_system(host)
    theirs = ours if same else build(host, version="theirs")
    with deploying(lab, host, ours, confirm=False) as deployment:
        deployment.wait_for("window")
        by_somebody_else(host, theirs, "switch")
        nobody_confirms(host)
        deployment.end()
    is_whole(host, theirs, "superseded")


def test_only_live_is_moved(lab: Lab, whole: dict[str, Host]) -> None:
    """Somebody tries a system of their own: it goes on, and the boot default was never touched."""
    host = whole["host1"]
    before, theirs = systems(host).running, build(host, version="theirs")
    with deploying(lab, host, next_system(host), confirm=False) as deployment:
        deployment.wait_for("window")
        by_somebody_else(host, theirs, "test")
        nobody_confirms(host)
        deployment.end()
    came_to(host, "superseded", theirs, before)


def test_confirmation_while_another_system_is_live(lab: Lab, whole: dict[str, Host]) -> None:
    """The way in was proven for a system that is not the one to be confirmed."""
    host = whole["host2"]
    before, ours, theirs = systems(host).running, next_system(host), build(host, version="theirs")
    options: dict[str, Any] = {"toplevel": ours, "limits": SHORT, "reconnect_timeout": 60}
    with deploying(lab, host, ours, confirm=False, limits=options["limits"]) as deployment:
        deployment.wait_for("window")
        name = wait_for(lambda: directory(host)).name
        assert deployment.end() == 0, deployment.output
        by_somebody_else(host, theirs, "test")
        boot = {"deploy_flake.nixos.system_boot": {**options, "deployment": name}, "become": True}
        with Deploying(lab, host, [{"hosts": "all", "gather_facts": False, "tasks": [boot]}]) as confirmation:
            assert confirmation.end() != 0
            assert '"reason": "superseded"' in confirmation.output, confirmation.output
        # It does not count, whatever is live a moment later.
        assert state(host) == "window"
        nobody_confirms(host)
    came_to(host, "superseded", theirs, before)


def test_somebody_switches_between_two_ways_back(lab: Lab, whole: dict[str, Host]) -> None:
    """The first one failed; the second one must not undo what came in between."""
    host = whole["host1"]
    ours, theirs = next_system(host), build(host, version="theirs")
    limits = SHORT | {"rollback": 5}
    with deploying(lab, host, ours, confirm=False, limits=limits) as deployment:
        deployment.wait_for("window")
        with locked(host, SWITCH_LOCK) as let_go:
            nobody_confirms(host)
            rung = wait_for(lambda: directory(host)) / "rung"
            # It begins with services that it starts anew.
            wait_for(lambda: rung.exists() and rung.read_text().strip() == "restart-bus", pause=0.001)
            log, switched = rung.with_name("undo.log"), False
            while not switched:
                with units_stopped(host, UNIT, guard(host)):
                    assert rung.read_text().strip() == "restart-bus"
                    # One that was decided on, and does not run yet, would go on where it was stopped.
                    last = log.read_text(errors="replace").rpartition("--- switch-to-configuration")[2]
                    if not switching(host) and ("exited" in last or "did not end" in last):
                        # systemd goes on with what it was asked for, and a bus that is being started takes nobody.
                        wait_for(lambda: not host.run("systemctl --no-legend list-jobs", check=True).stdout)
                        let_go()
                        by_somebody_else(host, theirs, "switch")
                        switched = True
                time.sleep(0.02)
        deployment.end()
    is_whole(host, theirs, "superseded")
