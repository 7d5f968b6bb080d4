# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are not there are left out where that is allowed, and the others are deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from integration.commanding import Command, destination, reaching, results
from integration.faulting import QUICK
from integration.playing import DEPLOY, Played, change_the_flake, play, systems
from integration.test_reboot import boot_id

from lab import Host, Lab

# Nobody listens there.
GONE = {"name": "gone", "ansible_host": "127.0.0.1", "ansible_port": 1}
HOW: dict[str, dict[str, Any]] = {
    "one task": {},
    "steps": {"deploy_flake_health_checks": {"units": ["hello.service"]}},
    # Where all wait for one another, each waits longer.
    "all or nothing": {"deploy_flake_all_or_nothing": True, "deploy_flake_limits": QUICK | {"confirm": 200}},
}
SAID = "not reached, and left as they were: gone"


def deploy(lab: Lab, directory: Path, flake: Path, **variables: Any) -> Played:
    add = {"ansible.builtin.add_host": GONE}
    plays: list[dict[str, Any]] = [
        {"hosts": "localhost", "gather_facts": False, "connection": "local", "tasks": [add]},
        {"ansible.builtin.import_playbook": variables.pop("playbook", DEPLOY)},
    ]
    settings = {"deploy_flake_limits": QUICK, "deploy_flake_hosts": "host1:host2:gone", **variables}
    return play(lab, directory, plays, deploy_flake_flake=str(flake), **settings)


@pytest.mark.core
@pytest.mark.parametrize("how", HOW)
def test_the_others_are_deployed(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path, how: str) -> None:
    change_the_flake(flake, f"absent.{how.partition(' ')[0]}")
    played = deploy(lab, tmp_path, flake, deploy_flake_allow_unreachable=True, **HOW[how])
    assert played.code == 0, played.output
    assert SAID in played.output
    assert not played.unreachable
    for name in ("host1", "host2"):
        found = systems(whole[name])
        assert found.running.endswith(f".absent.{how.partition(' ')[0]}")
        assert found.boot_default == found.running == found.loader


@pytest.mark.parametrize("what", ["rollback", "reboot", "generations"])
def test_nobody_waits_for_it(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path, what: str) -> None:
    """For as long as a host that was lost is waited for; by then the test would have failed."""
    change_the_flake(flake, f"absent.{what}")
    assert play(lab, tmp_path, DEPLOY, ["host1"], deploy_flake_flake=str(flake), deploy_flake_limits=QUICK).code == 0
    before, boot = systems(whole["host1"]), boot_id(whole["host1"])
    asked: dict[str, Any] = {"deploy_flake_reconnect_timeout": 3600, "deploy_flake_keep": 1, "deploy_flake_serial": 0}
    asked |= {"deploy_flake_hosts": "host1:gone", "deploy_flake_only_if_needed": False}
    playbook = f"deploy_flake.nixos.{what}"
    played = deploy(lab, tmp_path, flake, playbook=playbook, deploy_flake_allow_unreachable=True, **asked)
    assert played.code == 0, played.output
    assert SAID in played.output
    assert not played.unreachable
    after = systems(whole["host1"])
    if what == "rollback":
        assert after.running != before.running
    else:
        assert after.running == before.running
    assert (boot_id(whole["host1"]) != boot) == (what == "reboot")


def test_without_that_the_play_ends_with_an_error(
    lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path
) -> None:
    change_the_flake(flake, "absent.not")
    played = deploy(lab, tmp_path, flake)
    assert played.code == 4, played.output
    assert played.unreachable == {"gone"}
    assert systems(whole["host1"]).running.endswith(".absent.not")


def test_the_command(whole: dict[str, Host], flake: Path, command: Command) -> None:
    """Hosts are asked for their names first."""
    change_the_flake(flake, "absent.command")
    host = whole["host1"]
    given = [destination(host), "nixos://127.0.0.1:1", "--flake", str(flake), "--yes", *reaching([host])]
    given += ["--time-limit", "settle=0"]
    code, lines = command.json(*given, "--allow-unreachable")
    assert code == 0, lines
    found = results(lines)
    assert found[host.address]["outcome"] == "deployed"
    assert found["127.0.0.1"]["outcome"] == "unreachable"
    assert systems(host).running.endswith(".absent.command")
    code, output = command.run(*given, "--allow-unreachable", "--instrumentation", "plain")
    assert (code, "not reached, and left as they were: 127.0.0.1" in output) == (0, True), output
    assert command.run(*given)[0] == 3
    alone, _lines = command.json("nixos://127.0.0.1:1", "--flake", str(flake), "--yes", "--allow-unreachable")
    assert alone == 3
