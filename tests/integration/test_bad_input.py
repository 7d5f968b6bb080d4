# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input: one clear error, and an untouched host."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.playing import LIMITS, Played, change_the_flake, deploy, play, remains, systems

from lab import Host, Lab


def refused(lab: Lab, host: Host, directory: Path, flake: Path | str, **variables: object) -> str:
    """Deploy something that cannot be deployed; the message, after a look at the host."""
    before = systems(host)
    played = deploy(lab, directory, Path(flake), host.name, **variables)
    assert played.code != 0, played.output
    assert systems(host) == before
    return message(played, host.name)


def message(played: Played, host: str) -> str:
    """The message of a failure; the role ends the play with it, and has told only its first line before."""
    first, last = (result for result in played.results[host] if result.get("failed"))
    assert last["action"] == "deploy_flake.nixos.fleet_outcome"
    assert last.get("reason") == first.get("reason")
    assert first.get("first", first["msg"]) == last["msg"].splitlines()[0]
    # Ansible says it as an error, and in the result.
    for line in filter(None, last["msg"].splitlines()[1:]):
        assert played.output.count(line) <= 2 * last["msg"].count(line), line
    return str(last["msg"])


def test_no_flake_there(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    assert "does not exist" in refused(lab, hosts["host1"], tmp_path, tmp_path / "nothing")


def test_directory_without_a_flake(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "there is no flake.nix" in refused(lab, hosts["host1"], tmp_path, tmp_path / "empty")


def test_flake_that_does_not_parse(lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    (flake / "flake.nix").write_text("{ outputs = _: {", encoding="utf-8")
    said = refused(lab, hosts["host1"], tmp_path, flake)
    assert "syntax error" in said
    assert "could not build 'host1'; its system is untouched" in said
    assert remains(hosts["host1"]) == ""


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ("host1-does-not-evaluate", ["services.hello.colour", "does not exist"]),
        ("host1-build-fails", ["Failing derivation", "Its last lines:"]),
        ("host1-not-a-system", ["is not a NixOS system", "no nixos-version"]),
        ("nobody", ["nobody", "The flake has ", "nixosConfigurations, among them", "host"]),
        ("host2", ["it is for a host named host2, and this one is host1", "allow 'other_hostname'"]),
        ("host1-other-architecture", ["refuses the new system: it is for", "allow 'other_architecture'"]),
        ("host1-other-sshd", ["it starts no ssh unit", "allow 'no_ssh'"]),
    ],
)
def test_configuration_that_cannot_be_deployed(
    lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path, configuration: str, words: list[str]
) -> None:
    said = refused(lab, hosts["host1"], tmp_path, flake, deploy_flake_configuration=configuration)
    for word in words:
        assert word in said
    assert remains(hosts["host1"]) == ""


def test_build_that_takes_too_long(lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    slow = {"deploy_flake_configuration": "host2-slow-build", "deploy_flake_build_timeout": 3}
    assert "The build did not end within 3 s" in refused(lab, hosts["host2"], tmp_path, flake, **slow)
    assert remains(hosts["host2"]) == ""


def test_room_is_looked_at_before_the_build(lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    change_the_flake(flake, "roomy")
    said = refused(lab, hosts["host1"], tmp_path, flake, deploy_flake_min_free_space={"nix": 1 << 30})
    assert re.search(r"has \d+ KiB free on /nix, and needs \d+ KiB before it builds. Nothing was built", said), said
    assert "deploy_flake_min_free_space.nix" in said
    assert remains(hosts["host1"]) == ""
    # What is built already needs no room.
    for room in (0, 1 << 30):
        task = {"deploy_flake.nixos.flake_build": {"flake": str(flake), "min_free_space": {"nix": room}}}
        play_of = {"hosts": "host1", "gather_facts": False, "become": True, "tasks": [task]}
        played = play(lab, tmp_path, [play_of])
        assert played.code == 0, played.output
        assert played.of("host1", "flake_build")["toplevel"].endswith(".roomy")


def test_name_that_nix_cannot_express(lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    assert "double quote" in refused(lab, hosts["host1"], tmp_path, flake, deploy_flake_configuration='ho"st')


def test_host_without_nix(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    host = fresh["host1"]
    host.run("for tool in /usr/bin/nix*; do mv $tool $tool.away; done")
    try:
        assert "has no nix in" in refused(lab, host, tmp_path, flake)
    finally:
        lab.reset([host])


def test_no_root_on_the_host(lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    said = refused(lab, hosts["host3"], tmp_path, flake, deploy_flake_become=False)
    assert "needs root" in said
    assert "become: true" in said


def test_connection_that_proves_no_way_in(lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """It would be confirmed although nobody can come in: nothing is asked of any machine."""
    said = refused(lab, hosts["host3"], tmp_path, flake, ansible_connection="local")
    assert "the connection 'local' does not come from there" in said
    assert "unproven_way_in" in said


@pytest.mark.parametrize("options", ["", "--check"])
def test_what_is_wrong_from_the_start_never_goes_live(
    lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path, options: str
) -> None:
    host = hosts["host1"]
    looked = "stat --format %Y /run /var/lib/deploy-flake /nix/store"
    before = systems(host), host.run(looked, check=False).stdout
    (tmp_path / "checks.yml").write_text("[{no_such_module: {}}]", encoding="utf-8")
    values: dict[str, Any] = {
        "deploy_flake_health_policy": "lenient",
        "deploy_flake_build_timeout": "soon",
        "deploy_flake_checks": str(tmp_path / "checks.yml"),
    }
    port = {"deploy_flake_health_checks": {"ports": [99999]}}
    several: list[dict[str, Any]] = [values, port, {"deploy_flake_health_check": {}}]
    for wrong in several:
        variables = {"deploy_flake_flake": str(flake), "deploy_flake_limits": LIMITS, **wrong}
        played = play(lab, tmp_path, limit=["host1"], options=options, **variables)
        assert played.code != 0
        assert [result["action"] for result in played.results["host1"]] == ["deploy_flake.nixos.fleet_validate"]
        assert played.failure("host1")["reason"] == "bad-option"
        named = [name for name in wrong if name in played.failure("host1")["msg"]]
        # A file is looked at where the values are right.
        assert named == [name for name in wrong if name != "deploy_flake_checks"]
    only_checks = {"deploy_flake_flake": str(flake), "deploy_flake_checks": values["deploy_flake_checks"]}
    played = play(lab, tmp_path, limit=["host1"], options=options, **only_checks)
    assert "no_such_module" in played.failure("host1")["msg"]
    assert (systems(host), host.run(looked, check=False).stdout) == before


def test_own_checks_are_found_beside_the_playbook(
    lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path
) -> None:
    """There is a checks.yml in the role as well."""
    check = {"ansible.builtin.assert": {"that": "deploy_flake_tested.state == 'window'"}, "register": "checked"}
    (tmp_path / "checks.yml").write_text(yaml.safe_dump([{"name": "Check it", **check}]), encoding="utf-8")
    role = {"role": "deploy_flake.nixos.deploy"}
    theirs = [{"hosts": "all", "gather_facts": False, "roles": [role]}]
    change_the_flake(flake, "of-checks")
    variables: dict[str, Any] = {"deploy_flake_limits": LIMITS, "deploy_flake_checks": "checks.yml"}
    variables["deploy_flake_flake"] = str(flake)
    played = play(lab, tmp_path, theirs, ["host1"], **variables)
    assert played.code == 0, played.output
    assert [one["task"] for one in played.results["host1"]].count("Check it") == 1


def test_progress_is_told_while_a_build_runs(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    played = deploy(lab, tmp_path, flake, "host1", deploy_flake_configuration="host1-slow-build")
    assert played.code == 0, played.output
    assert time.monotonic() - begun > 10
    told = [
        line for line in played.output.splitlines() if line.startswith(("host1: building", "host1: still building"))
    ]
    assert len(told) >= 2, played.output
