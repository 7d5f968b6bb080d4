# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of secrets that Ansible's settings and its command line name."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible import constants, context
from ansible.module_utils.common.collections import ImmutableDict

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.known_secrets import known_secrets


def test_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict())
    assert known_secrets() == []


def test_all_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("vault", "become", "login", "key", "one", "two", "three")
    files = {name: tmp_path / name for name in names}
    for file in files.values():
        file.write_text("word")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(constants, "DEFAULT_VAULT_PASSWORD_FILE", str(files["vault"]))
    monkeypatch.setattr(constants, "DEFAULT_VAULT_IDENTITY_LIST", [f"label@{files['one']}", "prod@prompt"])
    arguments = {
        "become_password_file": str(files["become"]),
        "connection_password_file": str(files["login"]),
        "private_key_file": "~/key",
        "vault_ids": [str(files["two"]), f"other@{files['three']}", "@prompt"],
    }
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict(arguments))
    assert sorted(known_secrets()) == sorted(files.values())
