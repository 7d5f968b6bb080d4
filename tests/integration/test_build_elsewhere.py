# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host builds for others, which need neither evaluate nor build anything, nor reach anybody but the controller."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from integration.closing import new_key, nix_conf
from integration.commanding import Command
from integration.faulting import FEATURES, QUICK, Deploying, inside, is_whole, last_record, wait_for
from integration.jump_host import alone_with, ways_to
from integration.playing import (
    DEPLOY,
    Played,
    change_the_flake,
    deploy,
    forget_builds,
    outcomes,
    play,
    remains,
    systems,
)
from integration.test_fault_connection import IMPATIENT
from integration.test_prebuilt import CACHE, publish

from lab import Host, Lab

HOLDS = "deploy-flake-closure-from-*.service"
CLOSURES = "/nix/var/nix/gcroots/deploy-flake-closures"
ELSEWHERE: dict[str, Any] = {"deploy_flake_build_on": ["host1"], "deploy_flake_limits": QUICK}


def deploy_elsewhere(lab: Lab, directory: Path, flake: Path, *hosts: str, **variables: Any) -> Played:
    """The collection's own playbook, with host1 as the builder."""
    return deploy(lab, directory, flake, *hosts, **ELSEWHERE | variables)


_VERSIONS = itertools.count()


def another_version(flake: Path) -> str:
    """A system for each host that no host of the lab has, whatever ran before."""
    version = f"elsewhere-{os.getpid()}-{next(_VERSIONS)}"
    change_the_flake(flake, version)
    return version


# What the builder takes its time for; that of another host is built beside it.
SLOW = {"deploy_flake_configuration": "{{ inventory_hostname }}{{ '-slow-build' * (inventory_hostname == 'host2') }}"}


def building(lab: Lab, flake: Path, *hosts: Host, **variables: Any) -> Deploying:
    """The same in the background."""
    given = {"deploy_flake_flake": str(flake), **ELSEWHERE, **SLOW}
    return Deploying(lab, hosts, DEPLOY, **given | variables)


def builds(builder: Host) -> bool:
    """Whether it is in the middle of it."""
    logs = inside(builder, "/run/deploy-flake").glob("build-*/log")
    return any("step 2 of" in log.read_text(errors="replace") for log in logs)


def kept_for_others(builder: Host) -> list[str]:
    """The units that keep what was built there, for a day at most."""
    return builder.run(f"systemctl list-units --plain --no-legend '{HOLDS}' | cut -d ' ' -f 1").stdout.split()


def is_empty(builder: Host) -> bool:
    """Whether nothing is left there of what it has built for others."""
    return (remains(builder), builder.run(f"ls {CLOSURES}").stdout) == ("", "")


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


@pytest.mark.core
def test_one_builds_for_two(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """One may build nothing, the other reaches nobody; neither has flakes enabled. Again, and nothing changes."""
    builder, first, second = (whole[name] for name in ("host1", "host2", "host3"))
    another_version(flake)
    before = [sources(host) for host in (first, second)]
    builders = systems(builder), outcomes(builder)
    began = now(builder)
    with nix_conf(first, "max-jobs = 0"), alone_with(second, lab.state.controller_address):
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
    # One copy of the flake, one evaluation and one build for both, which one can watch.
    assert played.output.count("host1: gets /nix/store/") == 1, played.output
    assert re.search(r"^host1: (building \d+ of|built) \d+", played.output, re.MULTILINE), played.output
    assert sum(result["built"] for result in results.values()) >= 2
    assert evaluations(builder, began) == 2
    assert (systems(builder), outcomes(builder), remains(builder)) == (*builders, "")

    again = deploy_elsewhere(lab, tmp_path, flake, "host2", "host3")
    assert again.code == 0, again.output
    assert (again.changed("host2"), again.changed("host3")) == ([], []), again.output
    # The builder asks Nix for what it knows, and evaluates nothing.
    assert evaluations(builder, began) == 3
    assert [evaluations(host, began) for host in (first, second)] == [1, 1]
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
    (unit,) = kept_for_others(builder)
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


def test_a_controller_is_killed_and_another_one_follows(
    lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path
) -> None:
    """The build goes on for whoever asks next. What the first one had kept is kept for a day."""
    builder, first, second = (whole[name] for name in ("host1", "host2", "host3"))
    another_version(flake)
    before = systems(first), systems(second)
    began = now(builder)
    with building(lab, flake, first, second) as killed:
        wait_for(lambda: builds(builder))
        with building(lab, flake, first, second) as following:
            follows = "host1: is building this already; following that build"
            wait_for(lambda: follows in following.output)
            # Of the two hosts one has what the other one waits for.
            waits = r"host[23]: still waits for host1, which builds 'host(2-slow-build|3)' or others, for \d+ s"
            wait_for(lambda: re.search(waits, killed.output))
            assert (systems(first), systems(second)) == before
            killed.kill()
            assert following.end(150) == 0, following.output
            assert "host1: building " in following.output
    for host in (first, second):
        is_whole(host, last_record(host)["to"], "committed")
    assert (systems(first), systems(second)) != before
    # One evaluation, which the second one finds known, and one build.
    assert evaluations(builder, began) == 2
    (unit,) = kept_for_others(builder)
    builder.run(f"systemctl stop {unit}", check=True)
    assert is_empty(builder)


def test_faults_of_the_builder(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """Its build or its Nix is killed, or it loses power: the hosts are as before, and the next deploy works."""
    # Whoever logs in there is not root, and builds by Nix's daemon.
    builder, hosts = whole["host3"], [whole["host2"], whole["host1"]]
    another_version(flake)
    before = [(systems(host), outcomes(host)) for host in hosts]

    def fails(fault: Callable[[], Any], expected: Sequence[str], *on: Host) -> None:
        given = {"deploy_flake_build_on": [builder.name], "deploy_flake_reconnect_timeout": 5, **IMPATIENT}
        with building(lab, flake, *on, **given) as deployment:
            wait_for(lambda: builds(builder))
            fault()
            assert deployment.end(120) != 0, deployment.output
            for words in expected:
                assert words in deployment.output, deployment.output
        assert [(systems(host), outcomes(host), remains(host)) for host in hosts] == [(*one, "") for one in before]

    def kill(unit: str) -> None:
        builder.run(f"systemctl kill -s KILL '{unit}'", check=True)

    could_not = "host3 could not build 'host2-slow-build'; its system is untouched"
    fails(lambda: kill("deploy-flake-build-*"), [could_not, "The build was killed"], hosts[0])
    assert is_empty(builder)
    fails(lambda: kill("nix-daemon.service"), [could_not], hosts[0])
    assert is_empty(builder)
    untouched = [f"host3, which is to build for {host.name}, cannot build: host3 has not answered" for host in hosts]
    untouched += [f"{host.name}'s system is untouched" for host in hosts]
    try:
        fails(builder.power_off, untouched, *hosts)
    finally:
        builder.power_on()

    played = deploy_elsewhere(lab, tmp_path, flake, "host1", "host2", deploy_flake_build_on=[builder.name])
    assert played.code == 0, played.output
    for host in hosts:
        is_whole(host, played.of(host.name, "flake_build")["toplevel"], "committed")
    assert is_empty(builder)


def test_garbage_is_collected_on_the_builder(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """Before host3's turn: what was built for it is kept. Where somebody has ended that, it is built again."""
    builder = whole["host1"]
    version = another_version(flake)
    there = f"ls -d /nix/store/*-nixos-system-host3-*.{version}"
    lines = [
        f"nix-store --gc >/dev/null && {there}",
        f"systemctl stop '{HOLDS}' && nix-store --gc >/dev/null && ! {there}",
    ]
    there_alone = {"become": True, "delegate_to": "host1", "when": "inventory_hostname == 'host2'"}
    tasks = [{"name": "Collect garbage", "ansible.builtin.raw": line, **there_alone} for line in lines]
    collect = tmp_path / "collect.yml"
    collect.write_text(json.dumps(tasks), "utf-8")
    given: dict[str, Any] = {"deploy_flake_serial": 1, "deploy_flake_checks": str(collect)}
    played = deploy_elsewhere(lab, tmp_path, flake, "host2", "host3", **given)
    assert played.code == 0, played.output
    for name in ("host2", "host3"):
        is_whole(whole[name], played.of(name, "flake_build")["toplevel"], "committed")
    lost = played.of("host3", "flake_build")["toplevel"]
    assert f"host1: does not have {lost} any more, and builds it again" in played.output, played.output
    assert is_empty(builder)


def test_signatures_and_substituters(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """One takes what its builder has signed as soon as it trusts that; the other one has a cache with all of it."""
    builder, signed, fetching = (whole[name] for name in ("host1", "host2", "host3"))
    another_version(flake)
    given: dict[str, Any] = {"deploy_flake_flake": str(flake), "deploy_flake_configuration": "host3"}
    built = play(lab, tmp_path, "deploy_flake.nixos.build", limit=["host1"], **given)
    assert built.code == 0, built.output
    toplevel = built.of("host1", "flake_build")["toplevel"]
    its_own = publish(builder, toplevel, fetching)
    forget_builds([builder])
    key = new_key(builder, "lab-4")
    how = {
        "deploy_flake_sign_key": "/root/lab-4",
        "deploy_flake_check_signatures": True,
        "deploy_flake_substitute": True,
    }
    before, known = systems(signed), outcomes(signed)
    with nix_conf(fetching, f"substituters = file://{CACHE}", f"trusted-public-keys = {its_own}"):
        played = deploy_elsewhere(lab, tmp_path, flake, "host2", "host3", **how)
    assert played.code != 0
    refused = played.of("host2", "flake_build")
    assert refused["reason"] == "not-signed", refused
    assert "no key of its trusted-public-keys has signed" in refused["msg"]
    assert (systems(signed), outcomes(signed), remains(signed)) == (before, known, "")
    result = played.of("host3", "flake_build")
    assert (result["toplevel"], result["built_on"], result["bytes_sent"]) == (toplevel, "host1", 0), result
    assert result["copied"] >= 2
    assert "host3: asks its substituters for " in played.output
    is_whole(fetching, toplevel, "committed")
    # It is kept for the other one.
    (unit,) = kept_for_others(builder)
    builder.run(f"systemctl stop {unit}", check=True)

    with nix_conf(signed, f"trusted-public-keys = {key}"):
        played = deploy_elsewhere(lab, tmp_path, flake, "host2", **how)
        assert played.code == 0, played.output
        result = played.of("host2", "flake_build")
        verify = f"nix {FEATURES} store verify --no-contents --sigs-needed 1 {result['toplevel']}"
        assert signed.run(verify).returncode == 0
    assert result["bytes_sent"] > 0
    is_whole(signed, result["toplevel"], "committed")
    assert is_empty(builder)


def test_a_builder_behind_a_jump_host(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """The way to it is its own, and not that of the host that it builds for."""
    builder, jump, host = (whole[name] for name in ("host1", "host2", "host3"))
    another_version(flake)
    with alone_with(builder, jump.address):
        variables = ways_to(whole, {builder.name: jump})
        played = deploy_elsewhere(lab, tmp_path, flake, host.name, **variables)
    assert played.code == 0, played.output
    result = played.of(host.name, "flake_build")
    assert result["built_on"] == builder.name
    is_whole(host, result["toplevel"], "committed")
    assert is_empty(builder)
