# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that has Nix: it builds for hosts, and closures come from it and go to it.

Tests do not ask for a machine with Nix. Here Ansible's local connection starts its commands inside host1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.closing import came, closure, has_any, is_there, left, make, tasks
from integration.faulting import QUICK, is_whole, last_record
from integration.local_shell import write_shell
from integration.playing import change_the_flake, deploy, outcomes, play, systems

from lab import Host, Lab


@pytest.fixture
def controller(hosts: dict[str, Host], tmp_path: Path) -> str:
    """The option that adds it to an inventory."""
    inventory, leader = tmp_path / "controller.yml", hosts["host1"].leader
    assert leader
    namespaces = "--mount --uts --ipc --net --pid --cgroup --root --wd"
    shell = write_shell(tmp_path / "shell", leader, namespaces)
    # It is root already.
    variables = {"ansible_connection": "local", "ansible_shell_executable": str(shell), "ansible_become": False}
    inventory.write_text(yaml.safe_dump({"ungrouped": {"hosts": {"localhost": variables}}}), encoding="utf-8")
    return f"-i {inventory}"


def test_it_builds(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path, controller: str) -> None:
    change_the_flake(flake, f"localhost-{tmp_path.name}")
    builder, others = whole["host1"], [whole["host2"], whole["host3"]]
    before = systems(builder), outcomes(builder)
    variables: dict[str, Any] = {"deploy_flake_build_on": "localhost", "deploy_flake_limits": QUICK}
    played = deploy(lab, tmp_path, flake, "host2", "host3", options=controller, **variables)
    assert played.code == 0, played.output
    for host in others:
        result = played.of(host.name, "flake_build")
        assert result["built_on"] == "localhost"
        is_whole(host, result["toplevel"], "committed")
        assert last_record(host)["nar_hash"] == result["nar_hash"]
    # It was deployed to nowhere else.
    assert (systems(builder), outcomes(builder)) == before


def test_closures(lab: Lab, hosts: dict[str, Host], tmp_path: Path, controller: str) -> None:
    """From it and to it; again, and nothing is sent."""
    here, there = hosts["host1"], hosts["host2"]
    for source, target, name, to in ((here, there, "localhost", "host2"), (there, here, "host2", "localhost")):
        top = make(source)
        assert not has_any(target, closure(source, top))
        for copied in (4, 0):
            copying = tasks(source=name, targets=[to], paths=[top])
            played = play(lab, tmp_path, copying, ["host2"], controller)
            assert played.code == 0, played.output
            result = came(played)[to]
            assert (result["copied"], result["changed"]) == (copied, bool(copied))
        assert is_there(target, top)
    assert (left(here), left(there)) == ("", "")
