# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A login user whom sudo allows the helper alone: what is deployed with it, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from integration.commanding import ROOT
from integration.faulting import QUICK, last_record
from integration.playing import DEPLOY, Played, change_the_flake, outcomes, play, remains, systems

from lab import Host, Lab

TREE = "/usr/local/lib/deploy-flake-host"
HELPER = f"{TREE}/bin/deploy-flake-host"


@contextmanager
def helper_alone(host: Host, directory: Path) -> Iterator[None]:
    """The helper, made as nix/helper.nix makes it, and a rule for nothing else."""
    made = directory / f"helper-{host.name}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "plugins/plugin_utils"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-m", "_host.helper", made, TREE], env=environment, check=True)
    tag = "" if host.sudo_password else "NOPASSWD: "
    rule = f'deploy ALL=(root) {tag}{HELPER} ""\n'
    try:
        host.put(made, TREE)
        host.run(f"chown -R root:root {TREE} && chmod -R go-w {TREE}", check=True)
        host.run("cp -p /etc/sudoers.d/deploy /root/sudoers && cat >/etc/sudoers.d/deploy", stdin=rule, check=True)
        yield
    finally:
        host.run(f"cp -p /root/sudoers /etc/sudoers.d/deploy; rm -rf {TREE}", check=True)


def with_it(
    lab: Lab, directory: Path, host: Host, playbook: str | list[dict[str, Any]], options: str = "", **more: Any
) -> Played:
    given = {"ansible_become_method": "deploy_flake.nixos.helper", "ansible_deploy_flake_helper": HELPER, **more}
    return play(lab, directory, playbook, [host.name], options, deploy_flake_limits=QUICK, **given)


def tasks(*given: dict[str, Any]) -> list[dict[str, Any]]:
    ignoring = [{"become": True, "ignore_errors": True, **task} for task in given]
    return [{"hosts": "all", "gather_facts": False, "tasks": ignoring}]


def test_rule_of_sudo_for_the_helper_alone(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """A whole deployment, a rollback that its check refuses, and what that user may not do."""
    host = whole["host3"]
    change_the_flake(flake, "helped")
    before, known = systems(host), set(outcomes(host))
    fails = tmp_path / "fails.yml"
    fails.write_text("- name: Look\n  ansible.builtin.fail:\n    msg: no\n  delegate_to: localhost\n", "utf-8")
    with helper_alone(host, tmp_path):
        for refused in ("/bin/sh -c id", f"{HELPER} x", "-u deploy id", "-l /bin/sh"):
            assert host.ssh(f"sudo -n {refused}").returncode != 0, refused

        checked = with_it(lab, tmp_path, host, DEPLOY, "--check --diff", deploy_flake_flake=str(flake))
        assert checked.code == 0, checked.output
        assert checked.of(host.name, "system_test")["changed"]
        assert (systems(host), remains(host)) == (before, "")

        played = with_it(lab, tmp_path, host, DEPLOY, deploy_flake_flake=str(flake))
        assert played.code == 0, played.output
        after = systems(host)
        assert after.running == after.boot_default == played.of(host.name, "flake_build")["toplevel"]
        assert after.running != before.running
        assert [word for name, word in outcomes(host).items() if name not in known] == ["committed"]

        back = with_it(lab, tmp_path, host, "deploy_flake.nixos.rollback", deploy_flake_checks=str(fails))
        assert back.code != 0, back.output
        assert systems(host) == after
        assert (last_record(host)["outcome"], last_record(host)["why_code"]) == ("rolled-back", "revoked")
        assert remains(host) == ""

        looked = with_it(lab, tmp_path, host, "deploy_flake.nixos.status")
        assert looked.of(host.name, "system_info")["complete"] is True, looked.output

        ordinary = with_it(lab, tmp_path, host, tasks({"ansible.builtin.raw": "id"}))
        (told,) = ordinary.results[host.name]
        assert told["failed"]
        assert "modules of deploy_flake.nixos alone, and nothing was run on the host" in ordinary.output

        # Another version of one command.
        at = f"{TREE}/share/deploy-flake-host/info"
        host.run(f"cd {at} && mv * 00", check=True)
        asked = tasks({"deploy_flake.nixos.system_info": {}}, {"deploy_flake.nixos.system_revoke": {}})
        other, still = with_it(lab, tmp_path, host, asked).results[host.name]
        assert other["reason"] == "other-version", other
        assert "of another version of the collection, so nothing was done" in other["msg"]
        assert still.get("reason") != "other-version", still
    assert systems(host) == after


def test_rule_that_asks_for_a_password(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    host = whole["host2"]
    look: dict[str, Any] = {"deploy_flake.nixos.system_info": {}}
    passwords = (host.sudo_password, "", "wrong")
    given = [look | {"vars": {"ansible_become_password": password}} for password in passwords]
    with helper_alone(host, tmp_path):
        played = with_it(lab, tmp_path, host, tasks(*given))
    right, none, wrong = played.results[host.name]
    assert right["complete"] is True, right
    for one in (none, wrong):
        assert one["failed"]
        assert "deploy-flake-host without arguments" in one["msg"], one
