# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where secrets come from on the controller: Ansible's vault, as a variable, a file and through a lookup; a command."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.playing import play

from lab import Host, Lab

DIRECTORY = "/etc/secrets-of-vault"


@pytest.fixture
def clean(hosts: dict[str, Host]) -> Host:
    host = hosts["host2"]
    host.run(f"rm -rf {DIRECTORY} /var/lib/deploy-flake/secrets", check=True)
    return host


def encrypt(password: Path, *arguments: str, given: str) -> str:
    command = ["ansible-vault", *arguments, "--vault-password-file", str(password)]
    return subprocess.run(command, input=given, check=True, capture_output=True, text=True).stdout


def test_vault_and_a_command(lab: Lab, clean: Host, tmp_path: Path) -> None:
    """Each arrives as it was before it was encrypted, with quotes and ends of lines, and is nowhere in the output."""
    names = ("inline", "file", "lookup")
    content = {name: f"{name} '\"$(id)\n\n{secrets.token_hex(8)}\n" for name in names}
    password = tmp_path / "password"
    password.write_text(secrets.token_hex(8))
    inline = encrypt(password, "encrypt_string", "--stdin-name", "inline", given=content["inline"])
    (tmp_path / "inline.yml").write_text(inline)
    values = yaml.safe_dump({"file": content["file"]})
    # As group_vars of an inventory are.
    (tmp_path / "file.yml").write_text(encrypt(password, "encrypt", "--output=-", given=values))
    (tmp_path / "looked-up").write_text(encrypt(password, "encrypt", "--output=-", given=content["lookup"]))
    view = ["ansible-vault", "view", "--vault-password-file", "{{ password }}", "{{ looked_up }}"]
    sources: dict[str, dict[str, Any]] = {
        "inline": {"content": "{{ inline }}"},
        "file": {"content": "{{ file }}"},
        "lookup": {"content": "{{ lookup('ansible.builtin.unvault', looked_up) }}"},
        "command": {"command": view},
    }
    given = [{"name": name, "path": f"{DIRECTORY}/{name}", **source} for name, source in sources.items()]
    task = {"deploy_flake.nixos.system_secrets": {"secrets": given, "limits": {"settle": 0}}, "become": True}
    plays = [
        {
            "hosts": "all",
            "gather_facts": False,
            "vars_files": [str(tmp_path / "inline.yml"), str(tmp_path / "file.yml")],
            "vars": {"looked_up": str(tmp_path / "looked-up"), "password": str(password)},
            "tasks": [task],
        }
    ]
    played = play(lab, tmp_path, plays, [clean.name], f"-vvv --vault-password-file={password}")
    assert played.code == 0, played.output
    expected = {**content, "command": content["lookup"]}
    there = {name: (clean.root / DIRECTORY.lstrip("/") / name).read_text() for name in expected}
    assert there == expected
    for text in content.values():
        assert text.split()[-1] not in played.output
