# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens and logins, as Nix and netrc have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.credentials import Credentials


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".config/nix").mkdir(parents=True)
    return {"HOME": str(tmp_path)}


def test_the_token_for_the_least_goes_first() -> None:
    found = Credentials({"github.com": "all", "github.com/me": "mine", "github.com/me/x": "one", "other": "o"})
    places = (("me", "x"), ("me", "y"), ("you", "x"))
    assert [found.token("github.com", *place) for place in places] == ["one", "mine", "all"]
    assert found.token("gitlab.com", "me", "x") == ""


def test_tokens_of_the_machine_and_of_the_build(home: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / ".config/nix"
    (config / "nix.conf").write_text("access-tokens = a=1 b=1 # c=1\n!include more.conf\n!include nowhere\n")
    (config / "more.conf").write_text("extra-access-tokens = d=1\ninclude nix.conf\n")
    found = Credentials.read("access-tokens = a=3", home | {"NIX_CONFIG": "access-tokens = b=2 a=2"})
    assert {name: found.token(name, "", "") for name in "abcd"} == {"a": "3", "b": "2", "c": "", "d": "1"}
    assert "3" not in repr(found)


def test_logins(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine a login me password x\ndefault login you password y\n")
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / "more").write_text("machine b login me password z")
    assert Credentials.read("", home).logins == {"a": ("me", "x")}
    assert Credentials.read(f"netrc-file = {tmp_path}/more", home).logins == {"a": ("me", "x"), "b": ("me", "z")}
    assert Credentials.read("", home | {"NETRC": f"{tmp_path}/more"}).logins == {"b": ("me", "z")}
    (tmp_path / "more").write_text("what is this")
    assert Credentials.read("", home | {"NETRC": f"{tmp_path}/more"}).logins == {}
