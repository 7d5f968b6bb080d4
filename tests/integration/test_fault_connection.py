# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The link is cut, the controller is killed, a host is unreachable, systemd does not answer, garbage is collected."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from integration.committing import again_if_missed, at, comes_to
from integration.faulting import (
    SHORT,
    SWITCH_LOCK,
    Deploying,
    at_once,
    build,
    deploying,
    directory,
    inside,
    is_whole,
    locked,
    next_system,
    nobody_confirms,
    state,
    stopped,
    wait_for,
)
from integration.playing import DEPLOY, change_the_flake, deploy, forget_builds, outcomes, systems

from lab import Host, Lab

# A silent connection is given up after two seconds and not after twenty.
IMPATIENT = {"ansible_ssh_extra_args": "-o ServerAliveInterval=1 -o ServerAliveCountMax=2"}


@pytest.fixture
def linked(whole: dict[str, Host]) -> Iterator[dict[str, Host]]:
    """The hosts; in the end none of them is cut off."""
    yield whole
    for host in whole.values():
        host.mend()


def cut_until_noticed(deployment: Deploying) -> None:
    """Pull the cable until the controller has seen it, and put it back."""
    deployment.host.cut()
    wait_for(lambda: "lost the connection" in deployment.output, 40, saying="nobody noticed that the link was cut")
    deployment.host.mend()


@contextmanager
def copying(lab: Lab, host: Host, flake: Path) -> Iterator[Deploying]:
    """A deployment of a large flake that has begun to arrive."""
    (flake / "big").write_bytes(os.urandom(96 << 20))
    variables = {"deploy_flake_flake": str(flake), "deploy_flake_limits": SHORT, **IMPATIENT}
    with Deploying(lab, host, DEPLOY, **variables) as deployment:
        wait_for(lambda: list(inside(host, "/nix/var/nix").glob("deploy-flake.*/source")), pause=0.002)
        yield deployment


def test_link_is_cut_while_copying(lab: Lab, linked: dict[str, Host], flake: Path) -> None:
    """Tried again; a part of the copy never has a valid path."""
    host = linked["host1"]
    with copying(lab, host, flake) as deployment:
        cut_until_noticed(deployment)
        assert "while copying the flake" in deployment.output, deployment.output
        assert deployment.end() == 0, deployment.output
    system = systems(host).running
    is_whole(host, system, "committed")


def test_power_is_lost_while_copying(lab: Lab, linked: dict[str, Host], flake: Path) -> None:
    """Copied once more when the host is back, and nothing is left of the copy that was broken off."""
    host = linked["host2"]
    change_the_flake(flake, "powerless")
    with copying(lab, host, flake) as deployment:
        (broken,) = inside(host, "/nix/var/nix").glob("deploy-flake.*")
        host.power_off()
        assert (host.root / "nix/var/nix" / broken.name / "source").exists()
        host.power_on()
        assert deployment.end() == 0, deployment.output
    is_whole(host, systems(host).running, "committed")


def test_shared_connection_ends_as_it_is_used(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """ssh gives up where the master greets it and is gone: nothing has begun, so that a new connection is made."""
    path = tmp_path / "master"
    with socket.socket(socket.AF_UNIX) as master:
        master.bind(str(path))
        master.listen()

        def greet_and_go() -> None:
            client, _address = master.accept()
            path.unlink()
            with client:
                hello = client.recv(12)
                client.shutdown(socket.SHUT_RD)
                client.sendall(hello)
                time.sleep(1)

        greeter = threading.Thread(target=greet_and_go, daemon=True)
        greeter.start()
        host = whole["host1"]
        change_the_flake(flake, "greeted")
        with Deploying(lab, host, DEPLOY, deploy_flake_flake=str(flake), ansible_control_path=str(path)) as deployment:
            assert deployment.end() == 0, deployment.output
            assert "lost the connection" not in deployment.output, deployment.output
        assert not greeter.is_alive()
    is_whole(host, systems(host).running, "committed")


def test_link_is_cut_and_back(lab: Lab, linked: dict[str, Host]) -> None:
    """While it activates, settles, or waits for confirmation: reattached, confirmed, committed."""

    def case(number: int, host: Host) -> None:
        name = ("activating", "settling", "window")[number]
        new = next_system(host)
        with deploying(lab, host, new, limits=SHORT | {"settle": 4}, variables=IMPATIENT) as deployment:
            deployment.wait_for(name, pause=0.001)
            cut_until_noticed(deployment)
            assert deployment.end() == 0, deployment.output
            assert "is back" in deployment.output
        is_whole(host, new, "committed")

    at_once({host: partial(case, number) for number, host in enumerate(linked.values())})


def test_link_stays_cut(lab: Lab, linked: dict[str, Host]) -> None:
    """Nobody can confirm: the host goes back, and the controller says what it last knew."""
    host = linked["host3"]
    before = systems(host).running
    options: dict[str, Any] = {
        "limits": SHORT | {"settle": 4, "confirm": 5},
        "reconnect_timeout": 4,
        "variables": IMPATIENT,
    }
    with deploying(lab, host, next_system(host), **options) as deployment:
        deployment.wait_for("settling")
        host.cut()
        assert deployment.end() != 0
        assert "host3 has not answered for 4 s while following deployment" in deployment.output, deployment.output
        wait_for(lambda: directory(host) is None)
        host.mend()
    is_whole(host, before, "rolled-back")


def test_system_that_takes_sudo_away(lab: Lab, whole: dict[str, Host]) -> None:
    """Nobody can ask any more, nor confirm: that is lost contact, and how the host ends it is waited for and told."""

    def case(host: Host) -> None:
        before = systems(host).running
        patience = 2 if host.name == "host3" else 60
        new = build(host, "takes-sudo-away")
        # The host has to be looked at while the new system runs, and not only in the end.
        options: dict[str, Any] = {"limits": SHORT | {"settle": 3, "confirm": 12}, "reconnect_timeout": patience}
        with deploying(lab, host, new, **options) as deployment:
            assert deployment.end() != 0
            said = deployment.output
        is_whole(host, before, "rolled-back")
        assert "got no answer while following deployment" in said, said
        if host.name == "host3":
            # Who gives up first is told until when the host decides.
            assert "no answer, and said nothing" in said, said
            assert re.search(r"Outcome unknown: .*host3 has begun .* by 20[^ ]* at the latest", said), said
        else:
            assert "has rolled back: it runs its previous system again" in said, said
            assert "nobody confirmed" in said, said

    at_once({whole["host2"]: case, whole["host3"]: case})


@pytest.mark.parametrize("states", [("checking", "activating", "settling"), ("window", "commit-check", "commit-boot")])
def test_controller_is_killed(lab: Lab, whole: dict[str, Host], states: tuple[str, ...]) -> None:
    """The host ends with one of the two systems by itself: the new one only if that had been confirmed."""

    def case(name: str, host: Host) -> None:
        before, new = systems(host).running, next_system(host)
        commits = name.startswith("commit")

        def reached(deployment: Deploying, _host: Host, _new: str) -> Iterator[None]:
            comes_to(deployment, name, 0.002)
            yield

        limits = SHORT if commits else SHORT | {"confirm": 3}
        with deploying(lab, host, new, confirm=commits, limits=limits) as deployment:
            if commits:
                with at(reached, deployment, host, new):
                    deployment.kill()
            else:
                deployment.wait_for(name, pause=0.002)
                deployment.kill()
        is_whole(host, *((new, "committed") if commits else (before, "rolled-back")))

    cases = {
        host: partial(again_if_missed, partial(case, name)) for name, host in zip(states, whole.values(), strict=True)
    }
    at_once(cases)


def test_ansible_playbook_alone_is_killed(lab: Lab, whole: dict[str, Host]) -> None:
    """Its workers live on, and neither confirm nor begin a deployment that nobody follows."""
    host, waits = whole["host2"], whole["host3"]
    before = {each: systems(each).running for each in (host, waits)}
    began = len(outcomes(waits))
    given = {
        "deploy_flake_toplevel": "{{ new[inventory_hostname] }}",
        "deploy_flake_limits": SHORT | {"settle": 8, "confirm": 10},
        "new": {each.name: next_system(each) for each in before},
    }
    with deploying(lab, waits, next_system(waits), confirm=False) as other:
        other.wait_for("window")
        other.end()
        with Deploying(lab, [host, waits], DEPLOY, **given) as run:
            run.wait_for("settling")
            wait_for(lambda: "host3: waits up to" in run.output)
            assert len(run.workers()) > 1
            os.kill(run.process.pid, signal.SIGKILL)
            run.process.wait()
            nobody_confirms(waits)
            wait_for(lambda: not run.workers(), 60, 0.2, "the workers live on")
    # What was to be deployed is kept for the next one.
    forget_builds(before)
    for each, system in before.items():
        is_whole(each, system, "rolled-back")
    assert len(outcomes(waits)) == began + 1


def test_build_goes_on_without_controller_and_link(lab: Lab, linked: dict[str, Host], flake: Path) -> None:
    """Killed on one host, cut off on another: the next run attaches, the same run goes on."""
    change_the_flake(flake, "slow")

    def variables(host: Host) -> dict[str, Any]:
        configuration = f"{host.name}-slow-build"
        settings = {"deploy_flake_flake": str(flake), "deploy_flake_configuration": configuration}
        return {**settings, "deploy_flake_limits": SHORT, **IMPATIENT}

    def in_progress(host: Host) -> bool:
        logs = inside(host, "/run/deploy-flake").glob("build-*/log")
        return any("step 2 of" in log.read_text() for log in logs)

    def killed(host: Host) -> None:
        with Deploying(lab, host, DEPLOY, **variables(host)) as first:
            wait_for(lambda: in_progress(host))
            first.kill()
        with Deploying(lab, host, DEPLOY, **variables(host)) as second:
            assert second.end() == 0, second.output
            assert "is building this already; following that build" in second.output, second.output
        is_whole(host, systems(host).running, "committed")

    def cut(host: Host) -> None:
        with Deploying(lab, host, DEPLOY, **variables(host)) as deployment:
            wait_for(lambda: in_progress(host))
            cut_until_noticed(deployment)
            assert "(a build that has begun goes on there)" in deployment.output, deployment.output
            assert deployment.end() == 0, deployment.output
        is_whole(host, systems(host).running, "committed")

    at_once({linked["host1"]: killed, linked["host2"]: cut})


def test_unreachable_host(lab: Lab, linked: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """The others are deployed; the exit code is not zero and the summary names the host."""
    change_the_flake(flake, "unreachable")
    before = systems(linked["host2"])
    linked["host2"].cut()
    played = deploy(lab, tmp_path, flake, "host1", "host2", ansible_ssh_timeout=3)
    linked["host2"].mend()
    assert played.code != 0
    assert played.unreachable == {"host2"}, played.output
    assert "host2" in played.output.partition("PLAY RECAP")[2]
    assert played.of("host1", "system_boot")["state"] == "committed"
    assert systems(linked["host2"]) == before


def test_garbage_collection_between_all_steps(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """Nothing that a deployment needs is collected, on its way there and on its way back."""
    change_the_flake(flake, "garbage")
    collect = {"ansible.builtin.raw": "/usr/bin/nix-store --gc"}
    # Nobody confirms on host2; the others have all the time that a loaded machine may need.
    confirm = f"{{{{ 8 if inventory_hostname == 'host2' else {SHORT['confirm']} }}}}"
    system = {"toplevel": "{{ built.toplevel }}", "limits": SHORT | {"confirm": confirm}}
    boot = {**system, "deployment": "{{ tested.deployment }}"}
    tasks: list[dict[str, Any]] = [
        {"deploy_flake.nixos.flake_copy": {"flake": str(flake)}, "register": "copied"},
        collect,
        {"deploy_flake.nixos.flake_build": {"reference": "{{ copied.reference }}"}, "register": "built"},
        collect,
        {"deploy_flake.nixos.system_test": system, "register": "tested"},
        collect,
        {"deploy_flake.nixos.system_boot": boot, "when": "inventory_hostname != 'host2'"},
        collect,
    ]
    plays = [{"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}]

    def case(host: Host) -> None:
        before = systems(host).running
        with Deploying(lab, host, plays) as deployment:
            assert deployment.end() == 0, deployment.output
        if host.name == "host2":
            is_whole(host, before, "rolled-back")
        else:
            is_whole(host, systems(host).running, "committed")
            assert systems(host).running != before

    at_once(dict.fromkeys(whole.values(), case))


@pytest.mark.parametrize("phase", ["activating", "rolling-back"])
def test_systemd_does_not_answer_for_a_while(lab: Lab, whole: dict[str, Host], phase: str) -> None:
    """PID 1 is stopped: nothing waits for it without a limit, and the host ends with one of the two systems."""
    host = whole["host1"]
    before, new = systems(host).running, next_system(host)
    leader = host.leader
    assert leader is not None
    with deploying(lab, host, new, confirm=False, limits=SHORT | {"confirm": 2, "activate": 5}) as deployment:
        wait_for(lambda: state(host) == phase, pause=0.002)
        with stopped(leader):
            # Longer than any limit of the deployment's own.
            time.sleep(9)
        deployment.end()
    is_whole(host, before, "rolled-back", 120)
    assert new != before


def test_fault_of_the_rollback_itself(lab: Lab, whole: dict[str, Host]) -> None:
    """Said loudly; with last_resort_reboot it reboots into its boot default, which still is the previous system. By
    itself it does so where nobody could log in any more, and here somebody can."""

    def case(host: Host) -> None:
        before, boot = systems(host).running, host.leader
        reboots = host.name == "host2"
        limits = SHORT | {"settle": 3, "rollback": 8}
        with deploying(
            lab, host, build(host, "exit-4"), limits=limits, last_resort_reboot="always" if reboots else "auto"
        ) as deployment:
            deployment.wait_for("settling", pause=0.002)
            # The previous system's own programs do not work any more; none of them is at work before both are gone.
            with locked(host, SWITCH_LOCK):
                for program in ("bin/switch-to-configuration", "activate"):
                    host.run(f"mount --bind /bin/false {before}/{program}", check=True)
            assert deployment.end(120) != 0
            assert "could NOT roll back to its previous system" in deployment.output, deployment.output
        if reboots:
            wait_for(lambda: host.leader not in (None, boot), 60)
            host.wait_running()
            now = systems(host)
            assert (now.running, now.booted, now.boot_default) == (before, before, before)
        else:
            assert systems(host).boot_default == before
        assert "rollback-failed" in outcomes(host).values()

    try:
        at_once({whole["host1"]: case, whole["host2"]: case})
    finally:
        lab.reset([whole["host1"], whole["host2"]])
    assert build(whole["host1"])
