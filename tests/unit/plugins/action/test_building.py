# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions that copy and build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from unit.actions import act
from unit.building import DERIVATION, SYSTEM, done
from unit.fake_host import FakeHost


@pytest.fixture
def flake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    directory = tmp_path / "flake"
    directory.mkdir()
    (directory / "flake.nix").write_text("{ }")
    return f"path:{directory}"


def test_build(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost([done()])
    result = act(monkeypatch, host, "flake_build", flake=flake)
    assert (result["toplevel"], result["flake"], result["bytes_sent"]) == (SYSTEM, flake, 0)
    assert host.commands == ["build"]


def test_build_in_check_mode(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"status": "0", "value": f"{SYSTEM} {DERIVATION}"}
    host = FakeHost([{}, found])
    result = act(monkeypatch, host, "flake_build", check_mode=True, flake=flake, check_builds=False)
    assert (result["valid"], result["changed"]) == (False, True)
    assert host.commands == ["copy_ask", "nix_eval"]


def test_another_output_need_not_be_a_system(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And in check mode no link is made."""
    lacks = ["nixos-version", "bin/switch-to-configuration"]
    host = FakeHost([done(lacks=lacks)])
    given = {"flake": flake, "attribute": "packages.x86_64-linux.hello", "out_link": "/root/result"}
    result = act(monkeypatch, host, "flake_build", check_mode=True, **given)
    assert (result["toplevel"], result["configuration"], "out_link" in result) == (SYSTEM, "", False)
    assert (host.commands, host.asked[0].inputs["needs_system"]) == (["build"], "no")
    host = FakeHost([done(lacks=lacks)])
    refused = act(monkeypatch, host, "flake_deploy", flake=flake, attribute=given["attribute"])
    assert (refused["reason"], host.commands, host.asked[0].inputs["needs_system"]) == (
        "not-a-system",
        ["build"],
        "yes",
    )
    assert "'packages.x86_64-linux.hello' built" in refused["msg"]


def test_what_is_to_be_deployed_has_to_be_a_system(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the role says where it deploys step by step, whatever names what is built."""
    host = FakeHost([done(lacks=["nixos-version", "bin/switch-to-configuration"])])
    given: dict[str, Any] = {"attribute": "packages.x86_64-linux.hello", "needs_system": True}
    refused = act(monkeypatch, host, "flake_build", flake=flake, **given)
    assert (refused["reason"], host.asked[0].inputs["needs_system"]) == ("not-a-system", "yes")


def test_copy_of_a_flake_that_is_not_locked(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path(flake.removeprefix("path:")) / "flake.nix").write_text("{ outputs = { self, other }: { }; }")
    host = FakeHost([{}])
    assert not act(monkeypatch, host, "flake_copy", flake=flake).get("failed")
    assert [warning for warning in host.warned if "'other' is not locked" in warning]


def test_a_failure_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    result = act(monkeypatch, FakeHost(), "flake_build")
    assert (result["failed"], result["reason"]) == (True, "bad-option")
    refused = FakeHost([{"refused": "no-nix", "message": "has no nix"}])
    result = act(monkeypatch, refused, "flake_build", toplevel=SYSTEM)
    assert (result["failed"], result["reason"], result["msg"]) == (True, "no-nix", "host1 has no nix")


def test_copy(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = act(monkeypatch, FakeHost([{}]), "flake_copy", flake=flake)
    assert (result["changed"], result["bytes_sent"]) == (False, 0)
    # The same snapshot as before: all hosts of a task share it.
    host = FakeHost([{"missing": result["store_path"]}, {}], name="host2")
    sent = act(monkeypatch, host, "flake_copy", flake=flake)
    assert (sent["changed"], sent["bytes_sent"]) == (True, len(host.asked[1].data))
    assert sent["reference"] == result["reference"]
