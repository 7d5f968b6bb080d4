# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock file that lacks inputs, or is behind: every host says the same, and no snapshot is written to.

host1 is logged in to as root, who can write into the store; the others are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.playing import Played, forget_builds, play, remains

from lab import Host, Lab

EXTRA = "/var/lib/deploy-flake-extra"


@pytest.fixture
def asking(flake: Path, hosts: dict[str, Host]) -> Iterator[Path]:
    """The flake with an input that each host would find."""
    forget_builds(hosts.values())
    for host in hosts.values():
        host.run(f"mkdir -p {EXTRA} && echo '{{ outputs = _: {{ }}; }}' >{EXTRA}/flake.nix", check=True)
    file = flake / "flake.nix"
    text = file.read_text(encoding="utf-8").replace("{ self }:", "{ self, extra }:")
    file.write_text(text.replace("outputs =", f'inputs.extra.url = "path:{EXTRA}";\n  outputs =', 1), "utf-8")
    yield flake
    forget_builds(hosts.values())


def build(lab: Lab, directory: Path, flake: Path, options: str = "", **more: Any) -> Played:
    """Build on all hosts, and do nothing with it."""
    task = {"deploy_flake.nixos.flake_build": {"flake": str(flake), **more}, "become": True}
    plays = [{"hosts": "host1:host2:host3", "gather_facts": False, "tasks": [task]}]
    return play(lab, directory, plays, options=options)


def snapshots_are_whole(hosts: dict[str, Host], number: int) -> None:
    """Nix finds nothing that was changed in any flake in the store."""
    for host in hosts.values():
        there = host.run("for path in /nix/store/*-source; do nix-store --verify-path $path && echo ok; done").stdout
        assert there.split().count("ok") >= number


def test_an_input_that_is_not_locked(lab: Lab, hosts: dict[str, Host], asking: Path, tmp_path: Path) -> None:
    said = set()
    for options, more in (("", {}), ("--check", {"check_builds": False})):
        played = build(lab, tmp_path, asking, options, **more)
        for name, host in hosts.items():
            failure = played.failure(name)
            assert failure["reason"] == "not-locked"
            said.add(failure["msg"].replace(name, "HOST"))
            assert remains(host) == ""
    (message,) = said
    assert "the input 'extra' is not locked" in message
    assert "nix flake lock" in message


def test_a_change_that_only_nix_can_tell(lab: Lab, hosts: dict[str, Host], asking: Path, tmp_path: Path) -> None:
    """The URL stands in a form of string that the controller does not read."""
    file = asking / "flake.nix"
    file.write_text(file.read_text(encoding="utf-8").replace(f'"path:{EXTRA}"', f"''path:{EXTRA}''"), "utf-8")
    original = {"type": "path", "path": "/nowhere"}
    locked = {**original, "narHash": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "lastModified": 1}
    nodes = {"extra": {"locked": locked, "original": original}, "root": {"inputs": {"extra": "extra"}}}
    (asking / "flake.lock").write_text(json.dumps({"nodes": nodes, "root": "root", "version": 7}), "utf-8")
    for options, more in (("", {}), ("--check", {"check_builds": False})):
        played = build(lab, tmp_path, asking, options, **more)
        for name, host in hosts.items():
            failure = played.failure(name)
            assert (failure["reason"], "nix flake lock" in failure["msg"]) == ("not-locked", True)
            assert remains(host) == ""
    snapshots_are_whole(hosts, 1)


@pytest.mark.parametrize("wish", [["--override-input", "extra", f"path:{EXTRA}"], ["--recreate-lock-file"]])
def test_inputs_by_the_users_own_wish(
    lab: Lab, hosts: dict[str, Host], asking: Path, tmp_path: Path, wish: list[str]
) -> None:
    """As root as well nothing is written."""
    for options, more in (("", {}), ("--check", {"check_builds": False})):
        played = build(lab, tmp_path, asking, options, build_args=wish, **more)
        assert played.code == 0, played.output
    snapshots_are_whole(hosts, 1)
