# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host builds for others, which need neither evaluate nor build anything, nor reach anybody but the controller."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from integration.closing import nix_conf
from integration.commanding import Command
from integration.faulting import SHORT, is_whole, last_record
from integration.playing import Played, change_the_flake, deploy, forget_builds, outcomes, play, remains, systems

from lab import Host, Lab

QUICK = SHORT | {"settle": 0}
HOLDS = "deploy-flake-closure-from-*.service"
CLOSURES = "/nix/var/nix/gcroots/deploy-flake-closures"


def deploy_elsewhere(lab: Lab, directory: Path, flake: Path, *hosts: str, **variables: Any) -> Played:
    """The collection's own playbook, with host1 as the builder."""
    given: dict[str, Any] = {"deploy_flake_build_on": ["host1"], "deploy_flake_limits": QUICK}
    return deploy(lab, directory, flake, *hosts, **given | variables)


_VERSIONS = itertools.count()


def another_version(flake: Path) -> None:
    """A system for each host that no host of the lab has, whatever ran before."""
    change_the_flake(flake, f"elsewhere-{os.getpid()}-{next(_VERSIONS)}")


def sources(host: Host) -> set[str]:
    """What a host that evaluates or builds has in its store: sources and derivations."""
    return {name for name in host.run("ls /nix/store").stdout.split() if name.endswith((".drv", "-source"))}


def evaluations(host: Host, since: str) -> int:
    """How often a host was asked to evaluate a flake, or to build something."""
    words = "evaluates a flake for deploy-flake|builds a system for deploy-flake"
    logged = host.run(f"journalctl --no-pager -q --since '{since}' | grep -E 'Started .*({words})' | wc -l")
    return int(logged.stdout)


def now(host: Host) -> str:
    return host.run("date '+%Y-%m-%d %H:%M:%S'").stdout.strip()


@contextmanager
def alone_with_the_controller(lab: Lab, host: Host) -> Iterator[None]:
    """The host reaches nobody else, and nobody else reaches it."""
    known = f"{{ {lab.state.controller_address}, 127.0.0.0/8 }}"
    rules = f"""
    table inet lab {{
        chain in {{ type filter hook input priority 0; ip saddr != {known} drop; }}
        chain out {{ type filter hook output priority 0; ip daddr != {known} drop; }}
    }}
    """
    host.run("nft -f -", stdin=rules, check=True)
    try:
        yield
    finally:
        host.run("nft delete table inet lab", check=True)


@pytest.mark.core
def test_one_builds_for_two(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """One may build nothing, the other reaches nobody; neither has flakes enabled. Again, and nothing changes."""
    builder, first, second = (whole[name] for name in ("host1", "host2", "host3"))
    another_version(flake)
    before = [sources(host) for host in (first, second)]
    builders = systems(builder), outcomes(builder)
    began = now(builder)
    with nix_conf(first, "max-jobs = 0"), alone_with_the_controller(lab, second):
        played = deploy_elsewhere(lab, tmp_path, flake, "host2", "host3")
        assert played.code == 0, played.output
    results = {host.name: played.of(host.name, "flake_build") for host in (first, second)}
    for host in (first, second):
        result = results[host.name]
        assert (result["built_on"], result["configuration"], result["flake"]) == ("host1", host.name, str(flake))
        is_whole(host, result["toplevel"], "committed")
        record = last_record(host)
        assert (record["flake"], record["configuration"]) == (str(flake), host.name)
        assert record["nar_hash"] == result["nar_hash"]
    # Nothing was evaluated or built there.
    assert [sources(host) for host in (first, second)] == before
    # One evaluation and one build for both.
    assert sum(result["built"] for result in results.values()) >= 2
    assert evaluations(builder, began) == 2
    assert (systems(builder), outcomes(builder), remains(builder)) == (*builders, "")

    again = deploy_elsewhere(lab, tmp_path, flake, "host2", "host3")
    assert again.code == 0, again.output
    assert (again.changed("host2"), again.changed("host3")) == ([], []), again.output
    assert remains(builder) == ""


def test_everywhere_or_nowhere_with_the_builder_among_them(
    lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path
) -> None:
    """Step by step: of a flake's configurations, and of an attribute with a check in between."""
    attribute = "nixosConfigurations.{{ inventory_hostname }}.config.system.build.toplevel"
    checked = {"deploy_flake_attribute": attribute, "deploy_flake_health_checks": {"units": ["hello.service"]}}
    for given in ({"deploy_flake_all_or_nothing": True, "deploy_flake_limits": {}}, checked):
        another_version(flake)
        played = deploy_elsewhere(lab, tmp_path, flake, *whole, **given)
        assert played.code == 0, played.output
        for host in whole.values():
            is_whole(host, played.of(host.name, "flake_build")["toplevel"], "committed")
            assert "flake_deploy" not in played.changed(host.name)


def test_work_is_spread(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """Each builds a share, for itself or for others."""
    another_version(flake)
    played = deploy_elsewhere(lab, tmp_path, flake, *whole, deploy_flake_build_on="host1,host3")
    assert played.code == 0, played.output
    found = {name: played.of(name, "flake_build")["built_on"] for name in whole}
    assert found == {"host1": "host1", "host2": "host3", "host3": "host1"}
    for host in whole.values():
        is_whole(host, played.of(host.name, "flake_build")["toplevel"], "committed")


def test_one_configuration_that_is_wrong(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """Its error is its own host's, and the other one is deployed to."""
    another_version(flake)
    before = systems(whole["host2"])
    names = "{'host2': 'host22x', 'host3': 'host3'}[inventory_hostname]"
    played = deploy_elsewhere(lab, tmp_path, flake, "host2", "host3", deploy_flake_configuration="{{ " + names + " }}")
    assert played.code != 0
    failure = played.of("host2", "flake_build")
    assert "host1 could not build 'host22x'" in failure["msg"], failure["msg"]
    assert "among them host22" in failure["msg"]
    assert systems(whole["host2"]) == before
    is_whole(whole["host3"], played.of("host3", "flake_build")["toplevel"], "committed")
    # Nothing is kept for the one that there is no system for.
    assert (remains(whole["host1"]), whole["host1"].run(f"ls {CLOSURES}").stdout) == ("", "")


def test_a_system_that_was_built_before(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """On a host that builds for others, and whose store no substituter has."""
    builder, host = whole["host1"], whole["host3"]
    another_version(flake)
    given: dict[str, Any] = {"deploy_flake_flake": str(flake), "deploy_flake_configuration": "host3"}
    built = play(lab, tmp_path, "deploy_flake.nixos.build", limit=["host1"], **given)
    assert built.code == 0, built.output
    toplevel = built.of("host1", "flake_build")["toplevel"]
    forget_builds([builder])
    played = deploy_elsewhere(lab, tmp_path, flake, "host3", deploy_flake_toplevel=toplevel)
    assert played.code == 0, played.output
    assert played.of("host3", "flake_build")["built_on"] == "host1"
    is_whole(host, toplevel, "committed")
    assert remains(builder) == ""


def test_a_small_disk(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """It is told before anything is sent; the system is untouched, and its builder keeps it for a day."""
    host, builder = whole["host2"], whole["host1"]
    another_version(flake)
    before, known = systems(host), outcomes(host)
    host.fill_disk(2 << 20)
    try:
        played = deploy_elsewhere(lab, tmp_path, flake, "host2")
    finally:
        host.free_disk()
    assert played.code != 0
    failure = played.of("host2", "flake_build")
    assert failure["reason"] == "no-space"
    assert "host2 has " in failure["msg"] and "free on /nix" in failure["msg"]
    assert (systems(host), outcomes(host), remains(host)) == (before, known, "")
    (unit,) = builder.run(f"systemctl list-units --plain --no-legend '{HOLDS}' | cut -d ' ' -f 1").stdout.split()
    assert "sleep 86400" in builder.run(f"systemctl status {unit}").stdout
    assert "-nixos-system-host2" in builder.run(f"ls {CLOSURES}/*").stdout
    assert builder.run("ls /nix/var/nix/gcroots/deploy-flake").stdout == ""
    builder.run(f"systemctl stop {unit}", check=True)
    assert (remains(builder), builder.run(f"ls {CLOSURES}/*").stdout) == ("", "")


def test_a_builder_that_is_not_there(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """It makes no other host unreachable; one that the inventory does not have is said before any host is touched."""
    before = systems(whole["host2"])
    whole["host1"].cut()
    try:
        played = deploy_elsewhere(lab, tmp_path, flake, "host2", "host3", deploy_flake_reconnect_timeout=5)
    finally:
        whole["host1"].mend()
    assert played.code != 0
    assert played.unreachable == set()
    failures = {name: played.of(name, "flake_build")["msg"] for name in ("host2", "host3")}
    for name, said in failures.items():
        assert f"host1, which is to build for {name}, cannot be reached" in said, said
    # Of two who ask at the same time one has waited.
    assert len({said.replace("host3", "host2") for said in failures.values()}) == 1

    wrong = deploy_elsewhere(lab, tmp_path, flake, "host2", deploy_flake_build_on="build9")
    assert wrong.code != 0
    assert "deploy_flake_build_on: there is no host 'build9' in the inventory" in wrong.output
    assert systems(whole["host2"]) == before


def test_check_mode(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """Built there and brought, or only evaluated there; nothing of the host's system changes."""
    host = whole["host2"]
    another_version(flake)
    before, known = systems(host), outcomes(host)
    given: dict[str, Any] = {
        "deploy_flake_build_on": ["host1"],
        "deploy_flake_flake": str(flake),
        "deploy_flake_limits": QUICK,
    }
    found = play(lab, tmp_path, limit=["host2"], options="--check", deploy_flake_check_builds=False, **given)
    assert found.code == 0, found.output
    evaluated = found.of("host2", "flake_build")
    assert (evaluated["valid"], evaluated["built"], evaluated["built_on"]) == (False, 0, "host1")
    checked = play(lab, tmp_path, limit=["host2"], options="--check", **given)
    assert checked.code == 0, checked.output
    assert checked.of("host2", "flake_build")["toplevel"] == evaluated["toplevel"]
    assert checked.of("host2", "system_test")["state"] == "would-test"
    assert (systems(host), outcomes(host)) == (before, known)
    forget_builds([host])
    assert (remains(host), remains(whole["host1"])) == ("", "")


def test_the_command(lab: Lab, whole: dict[str, Host], flake: Path, command: Command) -> None:
    another_version(flake)
    given = ["--inventory", str(lab.inventory), "--limit", "host3", "--build-on", "host1", "--flake", str(flake)]
    code, lines = command.json(*given)
    assert code == 0, lines
    told = next(line for line in lines if line["event"] == "result")
    assert told["outcome"] == "deployed", json.dumps(told)
    is_whole(whole["host3"], told["system"], "committed")
