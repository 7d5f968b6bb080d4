# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action that deploys a profile that is no NixOS system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from ansible import constants
from unit.actions import act
from unit.building import SYSTEM, done
from unit.fake_host import FakeHost

LACKS = ["nixos-version", "bin/switch-to-configuration"]
OLD = "/nix/store/22222222222222222222222222222222-system-manager"


@pytest.fixture
def flake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    (tmp_path / "flake").mkdir()
    (tmp_path / "flake/flake.nix").write_text("{ }")
    return f"path:{tmp_path}/flake"


def ended(outcome: str, **more: str) -> dict[str, Any]:
    boot = SYSTEM if outcome == "committed" else OLD
    record = {"outcome": outcome, "from": OLD, "from_boot": OLD, "to": SYSTEM, "live": boot, "boot": boot, **more}
    return {"state": outcome, "record": json.dumps(record | {"generation": "5"})}


@pytest.mark.parametrize(
    ("given", "attribute", "user"),
    [
        ({"kind": "system-manager"}, 'systemConfigs."host1"', "root"),
        ({"kind": "home-manager", "user": "alice"}, 'homeConfigurations."alice@host1".activationPackage', "alice"),
        (
            {"kind": "profile", "profile": "/p", "attribute": "packages.x86_64-linux.it"},
            "packages.x86_64-linux.it",
            "root",
        ),
    ],
    ids=["system-manager", "home-manager", "profile"],
)
def test_deploy(flake: str, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], attribute: str, user: str) -> None:
    looked = {"valid": "yes", "new_live": SYSTEM, "previous_live": OLD, "previous_boot": OLD, "boot_id": "b"}
    answers = [done(lacks=LACKS), looked, {"state": "window"}, {"confirmed": "yes", **ended("committed")}]
    host = FakeHost(answers)
    result = act(monkeypatch, host, "profile_deploy", flake=flake, **given)
    assert not result.get("failed"), result
    assert (result["state"], result["generation"], result["changed"]) == ("committed", 5, True)
    assert (result["live"], result["active_generation"], result["previous_generation"]) == (SYSTEM, SYSTEM, OLD)
    assert not {"boot_default", "system", "reboot_required", "boot_loader"} & result.keys()
    assert host.commands == ["build", "profile", "start", "confirm"]
    assert attribute in unquote(host.asked[0].inputs["nix_arguments"])
    program = host.asked[2].inputs["program"]
    assert f"profile_user={user}\n" in program
    assert "switch-to-configuration boot" not in program
    assert not [told for told in host.told if "boot default" in told]


def test_failure(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rolled_back = ended("rolled-back", why="it failed", why_code="activation", phase="activating")
    host = FakeHost([done(lacks=LACKS, boot_id="b"), rolled_back])
    result = act(monkeypatch, host, "profile_deploy", flake=flake, kind="system-manager")
    assert (result["failed"], result["state"], result["reason"]) == (True, "rolled-back", "activation")
    assert "previous generation is active again" in result["msg"]
    assert host.commands == ["build", "start"]


def test_check_mode(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = {"valid": "yes", "previous_live": OLD, "previous_boot": OLD}
    host = FakeHost([done(lacks=LACKS), looked])
    result = act(monkeypatch, host, "profile_deploy", check_mode=True, flake=flake, kind="system-manager")
    assert (result["state"], result["changed"], result["previous_generation"]) == ("would-test", True, OLD)
    assert host.commands == ["build", "profile"]

    host = FakeHost([done(lacks=LACKS), {"refused": "not-a-system", "message": "refuses it"}])
    result = act(monkeypatch, host, "profile_deploy", check_mode=True, flake=flake, kind="system-manager")
    assert (result["failed"], result["reason"]) == (True, "not-a-system")


def test_what_cannot_be_meant_touches_no_host(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"kind": "home-manager"},
        {"kind": "profile"},
        {"kind": "profile", "profile": "/p"},
    )
    for given in wrong:
        host = FakeHost()
        result = act(monkeypatch, host, "profile_deploy", flake=flake, **given)
        assert (result["failed"], result["reason"], host.commands) == (True, "bad-option", [])
