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
from unit.building import SYSTEM, done, failed
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


MANAGER = {"kind": "system-manager"}
HOME = {"kind": "home-manager", "user": "alice"}
SITE = {"kind": "profile", "profile": "/p", "attribute": "packages.x86_64-linux.it"}
LOOKED = {"valid": "yes", "new_live": SYSTEM, "previous_live": OLD, "previous_boot": OLD, "boot_id": "b"}


@pytest.mark.parametrize(
    ("given", "attribute", "user"),
    [
        (MANAGER, 'systemConfigs."host1"', "root"),
        (HOME, 'homeConfigurations."alice@host1".activationPackage', "alice"),
        (SITE, "packages.x86_64-linux.it", "root"),
    ],
    ids=["system-manager", "home-manager", "profile"],
)
def test_deploy(flake: str, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], attribute: str, user: str) -> None:
    answers = [done(lacks=LACKS), LOOKED, {"state": "window"}, {"confirmed": "yes", **ended("committed")}]
    host = FakeHost(answers)
    result = act(monkeypatch, host, "profile_deploy", flake=flake, profiles=[given])
    assert not result.get("failed"), result
    assert (result["state"], result["changed"]) == ("committed", True)
    (one,) = result["profiles"]
    assert (one["state"], one["generation"], one["user"]) == ("committed", 5, user)
    assert (one["live"], one["active_generation"], one["previous_generation"]) == (SYSTEM, SYSTEM, OLD)
    assert not {"boot_default", "system", "reboot_required", "boot_loader"} & one.keys()
    assert host.commands == ["build", "profile", "start", "confirm"]
    assert attribute in unquote(host.asked[0].inputs["nix_arguments"])
    program = host.asked[2].inputs["program"]
    assert f"profile_user={user}\n" in program
    assert "switch-to-configuration boot" not in program
    assert not [told for told in host.told if "boot default" in told]


def test_those_after_one_that_fails_are_not_begun(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rolled_back = ended("rolled-back", why="it failed", why_code="activation", phase="activating")
    host = FakeHost([*[done(lacks=LACKS, boot_id="b")] * 3, ended("committed"), rolled_back])
    result = act(monkeypatch, host, "profile_deploy", flake=flake, profiles=[MANAGER, HOME, SITE])
    assert (result["failed"], result["state"], result["reason"]) == (True, "rolled-back", "activation")
    assert result["changed"]
    assert [one["state"] for one in result["profiles"]] == ["committed", "rolled-back", "not-begun"]
    assert "home-manager of alice: host1 has rolled back: its previous generation is active again" in result["msg"]
    stands = "system-manager is live; home-manager of alice was rolled back; profile /p was not begun."
    assert stands in result["msg"]
    # All are built before the first is activated.
    assert host.commands == ["build", "build", "build", "start", "start"]


def test_one_that_cannot_be_built_hinders_all(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost([done(lacks=LACKS), failed()])
    result = act(monkeypatch, host, "profile_deploy", flake=flake, profiles=[MANAGER, HOME])
    assert result["failed"] and "state" not in result
    assert [one["state"] for one in result["profiles"]] == ["not-begun", "not-begun"]
    assert "system-manager was not begun; home-manager of alice was not begun." in result["msg"]
    assert host.commands == ["build", "build"]


def test_one_that_was_built_already(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no NixOS system either."""
    host = FakeHost([done(lacks=LACKS, boot_id="b"), ended("committed")])
    result = act(monkeypatch, host, "profile_deploy", profiles=[{**MANAGER, "toplevel": SYSTEM}])
    assert result["state"] == "committed", result
    assert SYSTEM in unquote(host.asked[0].inputs["nix_arguments"])


def test_check_mode(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = {"valid": "yes", "previous_live": OLD, "previous_boot": OLD}
    host = FakeHost([done(lacks=LACKS), done(lacks=LACKS), looked, {**looked, "unchanged": "yes"}])
    result = act(monkeypatch, host, "profile_deploy", check_mode=True, flake=flake, profiles=[MANAGER, HOME])
    assert (result["state"], result["changed"]) == ("would-test", True)
    assert [one["state"] for one in result["profiles"]] == ["would-test", "unchanged"]
    assert result["profiles"][0]["previous_generation"] == OLD
    assert host.commands == ["build", "build", "profile", "profile"]

    host = FakeHost([done(lacks=LACKS), {"refused": "not-a-system", "message": "refuses it"}])
    result = act(monkeypatch, host, "profile_deploy", check_mode=True, flake=flake, profiles=[MANAGER])
    assert (result["failed"], result["reason"]) == (True, "not-a-system")


def test_what_cannot_be_meant_touches_no_host(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"profiles": [{"kind": "home-manager"}]},
        {"profiles": [MANAGER, {"kind": "profile", "profile": "/p"}]},
        {"profiles": [MANAGER, HOME, MANAGER]},
        {"profiles": [MANAGER], "attribute": "x"},
        {"profiles": [MANAGER], "flake": None},
    )
    for given in wrong:
        host = FakeHost()
        result = act(monkeypatch, host, "profile_deploy", **{"flake": flake, **given})
        assert (result["failed"], result["reason"], host.commands) == (True, "bad-option", [])


def test_a_host_without_profiles_is_told(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    result = act(monkeypatch, host, "profile_deploy", flake=flake, profiles=[])
    assert (result["state"], result["changed"], host.commands) == ("unchanged", False, [])
    assert "nothing was done" in host.warned[0]
