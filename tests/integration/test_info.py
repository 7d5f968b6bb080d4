# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts tell of themselves: one by one, and as a table."""

from __future__ import annotations

import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from integration.faulting import build, deploying, is_whole
from integration.playing import change_the_flake, deploy, play, systems

from lab import Host, Lab, keys

STATUS = "deploy_flake.nixos.status"
PROFILE = "/nix/var/nix/profiles/system"


def info(lab: Lab, directory: Path, host: Host, become: bool = True) -> dict[str, Any]:
    tasks = [{"deploy_flake.nixos.system_info": {}, "become": become}]
    played = play(lab, directory, [{"hosts": "all", "gather_facts": False, "tasks": tasks}], [host.name])
    assert played.code == 0, played.output
    return played.of(host.name, "system_info")


def states(found: dict[str, Any]) -> list[str]:
    return [one["state"] for one in found["explanations"]]


def table(output: str) -> dict[str, str]:
    """The lines of the table by their first word."""
    lines = output.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("host "))
    return {line.split()[0]: line for line in lines[first:] if line.split() and ":" not in line.split()[0]}


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.core
def test_table_of_a_fleet(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """host1 gets a commit, host3 a tree without git, host2 does not answer."""
    plain = tmp_path / "plain"
    subprocess.run(["cp", "-r", flake, plain], check=True)
    git(flake, "init", "--quiet")
    git(flake, "add", ".")
    git(flake, "commit", "--quiet", "-m", "one")
    both = "{{ '%s' if inventory_hostname == 'host3' else '%s' }}" % (plain, flake)  # noqa: UP031
    special = "{{ 'debug' if inventory_hostname == 'host3' else '' }}"
    assert deploy(lab, tmp_path, both, "host1", "host3", deploy_flake_specialisation=special).code == 0
    fresh["host2"].cut()
    given: dict[str, Any] = {"deploy_flake_flake": both, "ansible_timeout": 15}

    played = play(lab, tmp_path, STATUS, **given)
    assert played.code != 0
    assert "Nothing is known of host2" in played.output
    rows = {row["host"]: row for row in played.of("host1", "fleet_status")["rows"]}
    assert rows["host2"] | {"host": ""} == dict.fromkeys(rows["host2"], "-") | {"host": "", "health": "unreachable"}
    assert [(rows[name]["drift"], rows[name]["reboot"]) for name in ("host1", "host3")] == [("no", "no")] * 2
    shown = table(played.output)
    assert list(shown)[:4] == ["host", "host1", "host2", "host3"]
    revision = git(flake, "rev-parse", "HEAD").strip()
    assert rows["host1"]["revision"] == revision[:8]
    assert revision[:8] in shown["host1"]
    found = played.of("host1", "system_info")
    assert (found["configuration_revision"], found["boot_default_revision"]) == (revision, revision)
    (deployed,) = found["deployments"]
    assert (deployed["outcome"], deployed["revision"], deployed["flake"]) == ("committed", revision, str(flake))
    assert deployed["to"] == found["current_system"] == found["generations"][-1]["system"]
    assert abs(datetime.fromisoformat(found["generations"][-1]["date"]).timestamp() - time.time()) < 600
    fresh["host2"].mend()

    # The flakes move on; host2 was never deployed to.
    for one in (flake, plain):
        change_the_flake(one, "2")
    git(flake, "commit", "--quiet", "-a", "-m", "two")
    played = play(lab, tmp_path, STATUS, deploy_flake_flake=both)
    assert played.code == 0, played.output
    rows = {row["host"]: row["drift"] for row in played.of("host1", "fleet_status")["rows"]}
    assert rows == {"host1": "1 behind", "host2": "unknown", "host3": "other content"}
    assert "host2: drift is unknown: the host does not know what its system was built from" in played.output


def test_all_of_a_host(lab: Lab, fresh: dict[str, Host], tmp_path: Path) -> None:
    host = fresh["host2"]
    host.run("systemd-run --quiet --wait --unit=sore.service /bin/false; systemctl is-failed sore.service", check=True)
    found = info(lab, tmp_path, host)
    assert found["complete"] is True
    assert found["explanations"] == []
    assert (found["health"], found["failed_units"]) == ("degraded", ["sore.service"])
    assert found["boot_loader_default"] == found["current_system"] == found["booted_system"]
    (first,) = found["generations"]
    assert (first["kernel_version"], first["nixos_version"]) == ("6.12.1", found["nixos_version"])
    assert first["specialisations"] == ["debug"]
    assert found["free_space"]["boot"]["total_bytes"] == 8 << 20
    assert found["free_space"]["boot"]["path"] == "/boot"
    assert 0 < found["free_space"]["nix"]["free_bytes"] < found["free_space"]["nix"]["total_bytes"]
    assert found["kernel_version"] == host.run("uname -r").stdout.strip()
    # What ssh has for it among its known hosts.
    known = keys.public(keys.host_key(lab.state, host.name))
    assert found["ssh_host_keys"] == [{"type": "ssh-ed25519", "key": known}]

    # Without root all is told but the deployments.
    without = info(lab, tmp_path, host, become=False)
    assert without["complete"] is False
    same = ("current_system", "boot_default", "boot_loader_default", "generations", "health", "free_space")
    assert [without[name] for name in same] == [found[name] for name in same]


def test_half_states(lab: Lab, fresh: dict[str, Host], tmp_path: Path) -> None:
    """Each made by hand, as somebody who does not use this collection would."""
    host = fresh["host3"]
    first, second, kernel = systems(host).running, build(host, version="2"), build(host, "new-kernel")
    switch = "{}/bin/switch-to-configuration {}".format
    become = f"nix-env -p {PROFILE} --set {{}} &&".format
    steps = [
        switch(second, "test"),
        f"nix-env -p {PROFILE} --set {second}",
        f"{switch(second, 'boot')} && {switch(f'{second}/specialisation/debug', 'test')}",
        # As it was booted, with a boot default that has never been live; of the same kernel, and of another one.
        f"{switch(first, 'test')} && {switch(second, 'boot')}",
        f"{become(kernel)} {switch(kernel, 'boot')}",
        switch(kernel, "test"),
    ]
    tasks: list[dict[str, Any]] = []
    for step in steps:
        reboot = {"deploy_flake.nixos.system_reboot": {"only_if_needed": True}, "check_mode": True}
        tasks += [{"ansible.builtin.raw": step}, {"deploy_flake.nixos.system_info": {}}, reboot]
    play_of_steps = {"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}
    played = play(lab, tmp_path, [play_of_steps], [host.name])
    assert played.code == 0, played.output
    tried, profile, debug, waits, default, live = [
        one for one in played.results[host.name] if one["action"].endswith("system_info")
    ]
    reboots = [one for one in played.results[host.name] if one["action"].endswith("system_reboot")]

    assert states(tried) == ["tested-not-confirmed"]
    assert f"runs {second} and would boot {first}" in tried["explanations"][0]["text"]
    assert (tried["age"], tried["reboot_required"]) == (None, False)
    assert (states(profile), profile["boot_loader_default"]) == (["loader-disagrees"], first)
    assert (states(debug), debug["specialisation"]) == ([], "debug")
    assert debug["age"] is not None
    assert (states(waits), waits["reboot_reasons"]) == (["boot-default-not-live"], ["boot-default"])
    assert states(default) == ["boot-default-not-live"]
    assert states(live) == []
    # A reboot where it is needed is one where it is said to be.
    parts = ["initrd", "kernel", "kernel-modules"]
    expected = [[], [], [], ["boot-default"], [*parts, "boot-default"], parts]
    assert [one["reboot_reasons"] for one in reboots] == expected
    assert [one["reboot_reasons"] for one in (tried, profile, debug, waits, default, live)] == expected
    assert [one["state"] for one in reboots] == ["not-needed"] * 3 + ["would-reboot"] * 3
    assert live["generations"][-1]["kernel_version"] != live["generations"][0]["kernel_version"]


def test_boot_only_deployment_waits_for_its_reboot(
    lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path
) -> None:
    """What runs was committed live before, so it is neither what was booted nor a mere test."""
    host = fresh["host1"]
    booted = systems(host).booted
    assert deploy(lab, tmp_path, flake, host.name).code == 0
    live = systems(host).running
    change_the_flake(flake, "2")
    assert deploy(lab, tmp_path, flake, host.name, deploy_flake_test=False).code == 0
    now = systems(host)
    assert len({booted, live, now.boot_default}) == 3
    assert now.running == live

    played = play(lab, tmp_path, STATUS, limit=[host.name])
    found = played.of(host.name, "system_info")
    assert (states(found), found["reboot_reasons"]) == (["boot-default-not-live"], ["boot-default"])
    assert f"{live} was committed before" in found["explanations"][0]["text"]
    assert played.of(host.name, "fleet_status")["rows"][0]["reboot"] == "boot-default"
    without = info(lab, tmp_path, host, become=False)
    assert (states(without), without["reboot_reasons"]) == (["boot-default-not-live"], ["boot-default"])

    change_the_flake(flake, "3")
    refused = deploy(lab, tmp_path, flake, host.name).of(host.name, "system_test")
    assert refused["reason"] == "untested-boot-default"
    assert "waits for a reboot" in refused["msg"]
    assert "the playbook reboot" in refused["msg"]
    assert "'untested_boot_default'" in refused["msg"]
    # It can be taken back.
    back = play(lab, tmp_path, "deploy_flake.nixos.rollback", [host.name], "--check")
    assert back.code == 0, back.output
    assert back.of(host.name, "system_rollback")["toplevel"] == live
    rebooted = play(lab, tmp_path, "deploy_flake.nixos.reboot", [host.name])
    assert rebooted.of(host.name, "system_reboot")["state"] == "rebooted", rebooted.output
    assert systems(host).booted == systems(host).running == now.boot_default
    assert info(lab, tmp_path, host)["reboot_reasons"] == []


def test_what_was_only_tested_is_kept_by_a_deployment(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """As the explanation says."""
    host = whole["host2"]
    tested = build(host, version="tested")
    host.run(f"{tested}/bin/switch-to-configuration test", check=True)
    assert states(info(lab, tmp_path, host)) == ["tested-not-confirmed"]
    with deploying(lab, host, tested) as kept:
        assert kept.end() == 0, kept.output
    is_whole(host, tested, "committed")
