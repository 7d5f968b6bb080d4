# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to become root, as docs/become.md has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from integration.playing import LIMITS, change_the_flake, outcomes, play

from lab import Host, Lab

DOCUMENTED = Path(__file__).parents[2] / "docs/become.md"
# They give the same commands as those of community.general, which the tests do not have.
PLUGIN = '''
DOCUMENTATION = """
name: {name}
short_description: Becomes root
description: [As the plugin of that name.]
author: nobody
options: {options}
"""
from ansible.plugins.become import BecomeBase


class BecomeModule(BecomeBase):
    name = "community.general.{name}"
    require_tty = {terminal}
    prompt = "{prompt}"

    def build_become_command(self, cmd, shell):
        super().build_become_command(cmd, shell)
        unasked = "" if self.get_option("become_pass") else "-n"
        return f"{command} /bin/sh -c " + self._build_success_command(cmd, shell, noexe=True) if cmd else cmd
'''
TAKES_A_PASSWORD = "{become_pass: {description: A password, vars: [{name: ansible_become_password}]}}"
PLUGINS = {
    "doas": (TAKES_A_PASSWORD, False, "doas (", "doas {unasked} -u root"),
    "run0": ("{}", True, "Password: ", "run0 --user=root"),
    # Older ones do not say that they need a terminal.
    "machinectl": (TAKES_A_PASSWORD, False, "", "machinectl -q shell root@"),
}
ROOT_PASSWORD = "lab-root"
# Ansible wants that for run0, and looks for it at no variable.
TERMINAL = "--ssh-extra-args=-tt"


def write_plugins(directory: Path) -> None:
    """Where Ansible finds them: beside the playbook."""
    (directory / "become_plugins").mkdir()
    for name, (options, terminal, prompt, command) in PLUGINS.items():
        text = PLUGIN.format(name=name, options=options, terminal=terminal, prompt=prompt, command=command)
        (directory / "become_plugins" / f"{name}.py").write_text(text, encoding="utf-8")


def way(host: str, method: str, password: str | None = None, timeout: int = 40, **variables: str) -> dict[str, Any]:
    """A play that asks the host for something as root."""
    given = {"ansible_become_method": method, "ansible_timeout": timeout, **variables}
    given |= {} if password is None else {"ansible_become_password": password}
    task = {"deploy_flake.nixos.system_info": {}, "become": True, "vars": given}
    task |= {"ignore_errors": True, "ignore_unreachable": True, "register": "found"}
    return {"hosts": host, "gather_facts": False, "tasks": [task]}


@contextmanager
def su(asked: Host, unasked: Host) -> Iterator[None]:
    """On one host root has a password, and PAM of another one asks for none."""
    asked.run("cp -p /etc/shadow /etc/shadow.before", check=True)
    unasked.run("cp -p /etc/pam.d/su /root", check=True)
    try:
        asked.run("chpasswd", stdin=f"root:{ROOT_PASSWORD}\n", check=True)
        unasked.run("sed -i '1i auth sufficient pam_permit.so' /etc/pam.d/su", check=True)
        yield
    finally:
        asked.run("mv /etc/shadow.before /etc/shadow", check=True)
        unasked.run("mv /root/su /etc/pam.d", check=True)


def test_ways_to_become_root(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """Without polkit run0 is root's alone. busybox, which is host3's shell, runs its own su before that of PATH."""
    write_plugins(tmp_path)
    ways = [
        way("host2", "su", ROOT_PASSWORD),
        way("host2", "su", "wrong"),
        # It waits for one in vain.
        way("host2", "su", "", 4),
        way("host1", "run0"),
        way("host3", "su", ansible_become_exe="/usr/bin/su"),
        way("host3", "su"),
        way("host3", "su", ROOT_PASSWORD),
        way("host3", "run0"),
        way("host1", "machinectl"),
        way("host1", "machinectl", ROOT_PASSWORD),
    ]
    with su(whole["host2"], whole["host3"]):
        played = play(lab, tmp_path, ways, options=TERMINAL)
    root, wrong = played.results["host2"][:2]
    assert root["complete"] is True
    assert "root's own password" in wrong["msg"], wrong
    assert "waiting for privilege escalation prompt. su wants root's own password" in played.output.replace("\n", " ")
    by_run0, *by_machinectl = played.results["host1"]
    assert by_run0.get("complete") is True, by_run0
    assert [one["reason"] for one in by_machinectl] == ["become"] * 2
    assert all("machinectl gives each command a terminal" in one["msg"] for one in by_machinectl)
    unasked, *by_busybox, forbidden = played.results["host3"]
    assert unasked.get("complete") is True, unasked
    assert [one["failed"] for one in by_busybox] == [True, True]
    for one in by_busybox:
        assert all(words in one["msg"] for words in ("must be suid to work properly", "ansible_become_exe")), one
    assert forbidden["failed"]
    assert "org.freedesktop.systemd1.manage-units" in forbidden["msg"], forbidden


@contextmanager
def doas(asked: Host, unasked: Host) -> Iterator[None]:
    """It asks the login user of one host for a password, and that of another one for none."""
    try:
        for host, rule in ((asked, "permit deploy"), (unasked, "permit nopass deploy")):
            host.run(f"echo {rule} >/etc/doas.conf", check=True)
        yield
    finally:
        for host in (asked, unasked):
            host.run("rm -f /etc/doas.conf", check=True)


@contextmanager
def polkit(asked: Host, unasked: Host) -> Iterator[None]:
    """The rule that is documented, on one host."""
    rule = re.search(r"extraConfig = ''\n(.*?)'';", DOCUMENTED.read_text(encoding="utf-8"), re.DOTALL)
    assert rule
    text, count = re.subn('"admin"', '"deploy"', rule[1])
    assert count == 1
    file = "/etc/polkit-1/rules.d/10-deploy.rules"
    try:
        unasked.run(f"cat >{file} && chmod 644 {file}", stdin=text, check=True)
        for host in (asked, unasked):
            host.run("systemctl start polkit", check=True)
        yield
    finally:
        for host in (asked, unasked):
            host.run(f"rm -f {file} && systemctl stop polkit", check=True)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("doas", ["doas: Authentication ", "'permit nopass'"]),
        ("run0", ["nteractive authentication required", "org.freedesktop.systemd1.manage-units"]),
    ],
)
def test_way_that_asks_on_a_terminal_alone(
    lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path, method: str, words: list[str]
) -> None:
    """host2 asks for a password, which it can be given or not, and host3 for none."""
    write_plugins(tmp_path)
    host2, host3 = whole["host2"], whole["host3"]
    change_the_flake(flake, method)
    before = set(outcomes(host3))
    password = str(host2.sudo_password)
    deploy: dict[str, Any] = {"hosts": "host3", "gather_facts": False, "vars": {"ansible_become_method": method}}
    deploy["roles"] = [{"role": "deploy_flake.nixos.deploy"}]
    plays = [way("host2", method, ""), way("host2", method, password), way("host3", method, password), deploy]
    options = TERMINAL if method == "run0" else ""
    given = {"deploy_flake_flake": str(flake), "deploy_flake_limits": {**LIMITS, "settle": 1}}
    with (doas if method == "doas" else polkit)(host2, host3):
        played = play(lab, tmp_path, plays, options=options, **given)
    refused = played.results["host2"]
    assert [one["failed"] for one in refused] == [True, True]
    for one in refused:
        assert one["reason"] == "no-answer"
        assert all(word in one["msg"] for word in (*words, "asks for a password on a terminal alone")), one
    assert played.results["host3"][0].get("complete") is True, played.output
    assert played.of("host3", "system_boot")["changed"], played.output
    assert [word for name, word in outcomes(host3).items() if name not in before] == ["committed"]
