# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deploy to three hosts from beginning to end: root, sudo with a password, another port, three kinds of shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from integration.playing import LIMITS, change_the_flake, deploy, outcomes, play, remains, systems

from lab import Host, Lab

MODULES = ("flake_build", "system_test", "system_boot")


@pytest.mark.core
def test_three_hosts_and_again(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    before = {name: systems(host) for name, host in fresh.items()}
    # The image was made from the flake as it is, so its hosts have that snapshot already.
    change_the_flake(flake, "2")

    first = deploy(lab, tmp_path, flake, *fresh)

    assert first.code == 0, first.output
    for name, host in fresh.items():
        assert [action.rpartition(".")[2] for action in first.changed(name)] == list(MODULES)
        built = first.of(name, "flake_build")
        assert built["bytes_sent"] == built["nar_size"] > 0
        assert built["dirty"] is False
        assert built["revision"] is None
        assert host.run(f"nix-store --query --hash {built['store_path']}").stdout.startswith("sha256:")
        assert built["configuration"] == name
        assert built["derivation"].endswith(".drv")
        tested, booted = first.of(name, "system_test"), first.of(name, "system_boot")
        assert tested["state"] == "window"
        assert tested["previous_system"] == tested["previous_boot_default"] == before[name].running
        assert booted["state"] == "committed"
        assert booted["generation"] == 2
        assert booted["deployment"] == tested["deployment"]
        after = systems(host)
        assert after.running == after.boot_default == after.loader == built["toplevel"] == booted["system"]
        assert after.booted == before[name].booted
        assert host.run("hostname").stdout.strip() == name
        assert outcomes(host) == {tested["deployment"]: "committed"}
        assert remains(host) == ""
        # Whoever reads the journal at night finds nothing there that is not so.
        journal = "journalctl -q --no-pager -o cat -u 'deploy-flake*'"
        said = host.run(f"{journal} _TRANSPORT=stdout", check=True).stdout.splitlines()
        assert said
        assert [line for line in said if not line.startswith(f"deployment {tested['deployment']}: ")] == []
        assert "Failed" not in host.run(journal, check=True).stdout

    second = deploy(lab, tmp_path, flake, *fresh)

    assert second.code == 0, second.output
    for name, host in fresh.items():
        assert second.changed(name) == []
        assert second.of(name, "flake_build")["bytes_sent"] == 0
        assert second.of(name, "system_test")["state"] == "unchanged"
        assert systems(host).boot_default == first.of(name, "flake_build")["toplevel"]
        assert len(outcomes(host)) == 1
        assert remains(host) == ""


def test_one_task_in_a_playbook_of_ones_own(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    host = fresh["host2"]
    task = {"flake": str(flake), "configuration": "host2-new-units", "limits": LIMITS}
    module = "deploy_flake.nixos.flake_deploy"
    boot = {"toplevel": "{{ deployed.build.toplevel }}", "deployment": "{{ deployed.deployment }}"}
    tasks = [
        {module: task | {"confirm": False}, "become": True, "register": "deployed"},
        {"ansible.builtin.raw": "readlink -f /nix/var/nix/profiles/system", "changed_when": False},
        {"deploy_flake.nixos.system_boot": boot, "become": True, "when": "deployed.state == 'window'"},
        {module: task, "become": True},
    ]
    before = systems(host)

    played = play(lab, tmp_path, [{"hosts": "host2", "gather_facts": False, "tasks": tasks}])

    assert played.code == 0, played.output
    # Nobody had confirmed it yet.
    assert before.boot_default in played.of("host2", "raw")["stdout"]
    assert [result["state"] for result in played.results["host2"] if result["action"].endswith("system_test")] == [
        "window",
        "unchanged",
    ]
    assert systems(host).boot_default == played.of("host2", "flake_build")["toplevel"] != before.boot_default
    assert remains(host) == ""

    refused = [{module: task | {"all_or_nothing": True}, "become": True}]
    said = play(lab, tmp_path, [{"hosts": "host2", "gather_facts": False, "tasks": refused}])
    assert said.code != 0
    assert "set 'confirm: false'" in said.failure("host2")["msg"]


def test_changed_flake_makes_the_next_generation_and_survives_a_reboot(
    lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path
) -> None:
    host = fresh["host2"]
    deploy(lab, tmp_path, flake, "host2")
    change_the_flake(flake, "3")

    played = deploy(lab, tmp_path, flake, "host2")

    assert played.code == 0, played.output
    assert played.of("host2", "system_boot")["generation"] == 3
    toplevel = played.of("host2", "flake_build")["toplevel"]
    host.power_off()
    host.power_on()
    host.wait_running()
    now = systems(host)
    assert now.running == now.booted == now.boot_default == toplevel


def test_another_configuration_for_a_host(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    played = deploy(lab, tmp_path, flake, "host1", deploy_flake_configuration="host1-new-units")

    assert played.code == 0, played.output
    assert played.of("host1", "flake_build")["configuration"] == "host1-new-units"
    assert fresh["host1"].run("systemctl is-active onlynew.service", check=False).stdout.strip() == "active"


def test_git_tree_is_named_by_its_revision(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
        argv = ["git", "-C", str(flake), *identity, *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    revision = git("rev-parse", "HEAD")
    (flake / "untracked.nix").write_text("this is not even Nix", encoding="utf-8")

    clean = deploy(lab, tmp_path, flake, "host3")

    assert clean.code == 0, clean.output
    assert clean.of("host3", "flake_build")["revision"] == revision
    assert clean.of("host3", "flake_build")["dirty"] is False
    assert "untracked.nix" in clean.output
    asked = play(lab, tmp_path, [info_play()], ["host3"])
    assert asked.of("host3", "system_info")["configuration_revision"] == revision
    assert asked.of("host3", "system_info")["deployments"][-1]["revision"] == revision

    change_the_flake(flake, "2")
    dirty = deploy(lab, tmp_path, flake, "host3")
    assert dirty.code == 0, dirty.output
    assert dirty.of("host3", "flake_build")["revision"] is None
    assert dirty.of("host3", "flake_build")["dirty"] is True


def test_boot_only_deploy_leaves_the_running_system(
    lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path
) -> None:
    before = systems(fresh["host1"])

    played = deploy(lab, tmp_path, flake, "host1", deploy_flake_test=False)

    assert played.code == 0, played.output
    after = systems(fresh["host1"])
    assert after.running == before.running
    assert after.boot_default == after.loader == played.of("host1", "flake_build")["toplevel"]
    assert "the new system is the boot default, and runs after a reboot" in played.output
    assert remains(fresh["host1"]) == ""
    again = deploy(lab, tmp_path, flake, "host1", deploy_flake_test=False)
    assert again.changed("host1") == []


@pytest.mark.core
def test_check_mode_builds_and_leaves_the_system(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    before = systems(fresh["host1"])

    played = deploy(lab, tmp_path, flake, "host1", options="--check")

    assert played.code == 0, played.output
    assert played.of("host1", "system_test")["state"] == "would-test"
    assert systems(fresh["host1"]) == before
    assert outcomes(fresh["host1"]) == {}


def info_play() -> dict[str, object]:
    """A play that looks at a host."""
    tasks: list[dict[str, object]] = [{"deploy_flake.nixos.system_info": {}, "become": True}]
    return {"hosts": "all", "gather_facts": False, "tasks": tasks}


@pytest.mark.core
def test_info_without_root_tells_all_but_the_deployments(lab: Lab, fresh: dict[str, Host], tmp_path: Path) -> None:
    tasks: list[dict[str, object]] = [{"deploy_flake.nixos.system_info": {}}]
    played = play(lab, tmp_path, [{"hosts": "all", "gather_facts": False, "tasks": tasks}], ["host3"])

    info = played.of("host3", "system_info")
    seen = systems(fresh["host3"])
    assert (info["current_system"], info["boot_default"], info["booted_system"]) == (
        seen.running,
        seen.boot_default,
        seen.booted,
    )
    assert info["generations"][0]["system"] == seen.boot_default
    assert info["deployments"] == []
    assert info["health"] == "running"
