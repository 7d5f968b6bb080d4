# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to become root, as docs/become.md has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from integration.playing import play

from lab import Host, Lab

# As those of community.general do it, which the tests do not have.
PLUGIN = '''
DOCUMENTATION = """
name: {name}
short_description: Becomes root
description: [As the plugin of that name.]
author: nobody
options: {{}}
"""
from ansible.plugins.become import BecomeBase


class BecomeModule(BecomeBase):
    name = "community.general.{name}"
    require_tty = {terminal}

    def build_become_command(self, cmd, shell):
        super().build_become_command(cmd, shell)
        return "{command} " + self._build_success_command(cmd, shell) if cmd else cmd
'''
ROOT_PASSWORD = "lab-root"


def test_ways_to_become_root(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """A host has no polkit: what root may do by itself goes by run0 as well, and nobody else's."""
    plugins = tmp_path / "become_plugins"
    plugins.mkdir()
    for name, terminal, command in (
        ("run0", True, "run0 --user=root"),
        # Older ones do not say that they need one.
        ("machinectl", False, "machinectl -q shell root@"),
    ):
        (plugins / f"{name}.py").write_text(PLUGIN.format(name=name, terminal=terminal, command=command))
    host2 = whole["host2"]
    host2.run(f"cp -p /etc/shadow /etc/shadow.before; echo root:{ROOT_PASSWORD} | chpasswd", check=True)

    def way(host: str, method: str, password: str | None = None, timeout: int = 40) -> dict[str, Any]:
        given = {"ansible_become_method": method, "ansible_timeout": timeout}
        given |= {} if password is None else {"ansible_become_password": password}
        task = {"deploy_flake.nixos.system_info": {}, "become": True, "vars": given}
        task |= {"ignore_errors": True, "ignore_unreachable": True, "register": "found"}
        return {"hosts": host, "gather_facts": False, "tasks": [task]}

    ways = [
        way("host2", "su", ROOT_PASSWORD),
        way("host2", "su", "wrong"),
        # It waits for one in vain.
        way("host2", "su", "", 4),
        way("host1", "run0"),
        way("host3", "run0"),
        way("host1", "machinectl"),
    ]
    # Ansible wants that for run0, and looks for it at no variable.
    played = play(lab, tmp_path, ways, options="--ssh-extra-args=-tt")
    host2.run("mv /etc/shadow.before /etc/shadow", check=True)
    root, wrong = played.results["host2"][:2]
    assert root["complete"] is True
    assert "root's own password" in wrong["msg"], wrong
    assert "waiting for privilege escalation prompt. su wants root's own password" in played.output.replace("\n", " ")
    by_run0, by_machinectl = played.results["host1"]
    assert by_run0.get("complete") is True, by_run0
    assert by_machinectl["reason"] == "become"
    assert "machinectl gives each command a terminal" in by_machinectl["msg"]
    (forbidden,) = played.results["host3"]
    assert forbidden["failed"]
    assert "org.freedesktop.systemd1.manage-units" in forbidden["msg"], forbidden
