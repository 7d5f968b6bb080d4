# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users without a home, users whom Nix does not let in, machines without Nix, and tasks that are delegated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from integration.playing import Played, deploy, outcomes, play, remains, systems

from lab import Host, Lab


def run_tasks(lab: Lab, directory: Path, host: str, *tasks: dict[str, Any]) -> Played:
    """Run some tasks, which may fail."""
    ignoring = [{**task, "become": True, "ignore_errors": True} for task in tasks]
    return play(lab, directory, [{"hosts": "all", "gather_facts": False, "tasks": ignoring}], [host])


def test_a_user_without_a_writable_home_can_deploy(
    lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path
) -> None:
    host = fresh["host3"]
    host.run("chown root: /home/deploy /home/deploy/.ssh && chmod 555 /home/deploy /home/deploy/.ssh", check=True)
    evaluated = deploy(lab, tmp_path, flake, host.name, options="--check", deploy_flake_check_builds=False)
    assert evaluated.code == 0, evaluated.output
    played = deploy(lab, tmp_path, flake, host.name)
    assert played.code == 0, played.output
    assert list(outcomes(host).values()) == ["committed"]
    assert host.run("cd /var/cache/deploy-flake && stat -c %U:%a $(id -u deploy)").stdout.strip() == "deploy:700"
    assert host.run("ls -A /home/deploy").stdout.split() == [".bash_logout", ".bashrc", ".profile", ".ssh"]


def test_a_user_whom_nix_does_not_let_in(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    host = fresh["host3"]
    before = systems(host)
    host.run("echo 'allowed-users = root @wheel' >>/etc/nix/nix.conf && systemctl restart nix-daemon", check=True)
    for given in ({"options": "--check", "deploy_flake_check_builds": False}, {}):
        played = deploy(lab, tmp_path, flake, host.name, **given)
        failure = played.of(host.name, "flake_build")
        assert failure["reason"] == "shut-out", played.output
        assert "does not let the login user 'deploy' in" in failure["msg"]
        assert "its allowed-users are: root @wheel" in failure["msg"]
    assert systems(host) == before
    assert remains(host) == ""
    # Root needs no daemon, and is always let in.
    host1 = fresh["host1"]
    host1.run("echo 'allowed-users = nobody' >>/etc/nix/nix.conf && systemctl restart nix-daemon", check=True)
    assert deploy(lab, tmp_path, flake, host1.name).code == 0
    lab.reset([host, host1])


def test_messages_of_a_delegated_task_name_the_host_that_is_meant(
    lab: Lab, hosts: dict[str, Host], tmp_path: Path
) -> None:
    task = {"deploy_flake.nixos.flake_build": {"flake": str(tmp_path)}, "delegate_to": "host3"}
    (tmp_path / "flake.nix").write_text("{ outputs = _: { nixosConfigurations.host1 = 1; }; }", encoding="utf-8")
    played = run_tasks(lab, tmp_path, "host1", task)
    # The host that builds is named, and the system is that of the host which the task is for.
    assert played.failure("host1")["msg"].startswith("host3 could not build 'host1'"), played.output
    assert hosts["host3"].run("ls /nix/var/nix/gcroots/deploy-flake", check=False).stdout == ""


def test_a_machine_without_nix_has_no_information(lab: Lab, fresh: dict[str, Host], tmp_path: Path) -> None:
    host = fresh["host3"]
    look: tuple[dict[str, Any], ...] = (
        {"deploy_flake.nixos.system_info": {}},
        {"deploy_flake.nixos.system_reboot": {"only_if_needed": True}},
    )
    host.run("mv /run/current-system /run/away", check=True)
    for played, reason in (
        (run_tasks(lab, tmp_path, host.name, *look), "no-nixos"),
        (host.run("for tool in /usr/bin/nix*; do mv $tool $tool.away; done"), None),
        (run_tasks(lab, tmp_path, host.name, *look), "no-nix"),
    ):
        if isinstance(played, Played):
            assert [one.get("reason") for one in played.results[host.name]] == [reason] * 2, played.output
            assert all(one["failed"] and "is it a NixOS host?" in one["msg"] for one in played.results[host.name])
    lab.reset([host])
