# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions that look: at a host, at a fleet, and whether a host is as it should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from ansible.utils.display import Display
from unit.actions import act
from unit.fake_host import FakeHost
from unit.fetching import URL, Source

A, B = (f"/nix/store/{letter * 32}-nixos-system-web1-25.11" for letter in "ab")
WELL: dict[str, Any] = {
    "root": "0",
    "now": "1",
    "current": "/nix/store/a",
    "booted": "/nix/store/a",
    "boot_default": "/nix/store/a",
}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(Display, "display", lambda _self, text, *_more, **_named: lines.extend(text.splitlines()))
    return lines


def test_info_with_revisions(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost([WELL | {"generation_of": ["1 0\n/nix/store/a\n\n"], "generation_revision": ["1 abc"]}])
    result = act(monkeypatch, host, "system_info", revisions=True)
    assert host.asked[0].inputs["revisions"] == "yes"
    assert [one["revision"] for one in result["generations"]] == ["abc"]


def test_info(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost([WELL])
    result = act(monkeypatch, host, "system_info", deployments=3)
    assert (result["changed"], result["current_system"], result["drift"]) == (False, "/nix/store/a", None)
    assert host.asked[0].inputs == {"deployments": "3", "revisions": "no"}
    assert host.warned == []


CHANGED = {"from": A, "to": B, "changes_from": A, "changes_to": B, "kernel_before": "6.1", "kernel_after": "6.2"}


def test_diff_of_two_systems(monkeypatch: pytest.MonkeyPatch, shown: list[str]) -> None:
    host = FakeHost([CHANGED, CHANGED])
    result = act(monkeypatch, host, "system_diff", compare_from="3", compare_to="booted")
    assert host.told == ["3 and booted are not the same system"]
    assert shown == [f"  - {A}", "  - kernel 6.1", f"  + {B}", "  + kernel 6.2"]
    assert act(monkeypatch, host, "system_diff", show=False)["changes"] == result["changes"]
    assert (len(host.told), len(shown)) == (1, 4)
    assert (host.commands[0], host.asked[0].inputs) == ("compare", {"old": "3", "new": "booted"})
    assert (result["changed"], result["previous_system"], result["toplevel"]) == (False, A, B)
    assert result["changes"]["kernel"] == {"before": "6.1", "after": "6.2"}
    assert result["diff"][0]["after"] == "kernel 6.2\n"


def test_diff_of_the_last_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is what is compared where nobody says it; nothing changes where both are the same."""
    host = FakeHost([{"from": A, "to": A}])
    result = act(monkeypatch, host, "system_diff")
    assert host.asked[0].inputs == {"old": "previous", "new": "boot-default"}
    assert (result["changes"], result["diff"]) == (None, [])


def test_diff_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ("0", "-1", "Running", "3;x", "/nix/store", "\u0663", "3\n"):
        host = FakeHost()
        result = act(monkeypatch, host, "system_diff", compare_to=word)
        assert (result["reason"], host.asked) == ("bad-option", [])
        assert result["msg"].startswith("compare_to is the number of a generation, ")
    # Nothing on the host compares them.
    result = act(monkeypatch, FakeHost([{"from": A, "to": B}]), "system_diff")
    assert (result["failed"], result["reason"]) == (True, "no-tool")
    refused = {"refused": "no-generation", "message": "has no generation 9; it has 1 (today)"}
    result = act(monkeypatch, FakeHost([refused]), "system_diff", compare_from="9")
    assert (result["reason"], result["msg"]) == ("no-generation", "host1 has no generation 9; it has 1 (today)")


def test_info_warns_of_a_deployment_that_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = {"open": "x", "open_state": "activating", "open_unit": "inactive"}
    host = FakeHost([WELL | opened])
    act(monkeypatch, host, "system_info")
    assert host.warned == ["deployment x was left unfinished; the next deployment repairs it"]
    host = FakeHost([WELL | opened | {"open_unit": "active"}])
    act(monkeypatch, host, "system_info")
    assert host.warned == []


def test_a_flake_that_is_not_there_is_no_matter_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    result = act(monkeypatch, host, "system_info", flake=str(tmp_path / "nothing"))
    assert (result["failed"], host.asked) == (True, [])
    (tmp_path / "flake.nix").write_text("{ }")
    result = act(monkeypatch, FakeHost([WELL]), "system_info", flake=f"path:{tmp_path}")
    assert result["drift"]["state"] == "unknown"


def test_a_remote_flake_is_resolved_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    remote = Source(tmp_path / "remote")
    deployed = {"deployment_of_current": json.dumps({"nar_hash": remote.nar_hash})}
    refused = {"refused": "not-root", "message": "needs root"}
    host = FakeHost([WELL, refused])
    result = act(monkeypatch, host, "system_info", flake=URL)
    assert (result["drift"]["state"], len(host.warned)) == ("unknown", 1)
    host = FakeHost([WELL | deployed, *remote.answers()])
    assert act(monkeypatch, host, "system_info", flake=URL)["drift"]["state"] == "none"
    assert host.commands == ["info", "nix_eval", "read_source"]
    assert act(monkeypatch, FakeHost([WELL]), "system_info", flake=URL)["drift"]["state"] == "unknown"
    # What names its revision is not asked for.
    named = act(monkeypatch, FakeHost([WELL]), "system_info", flake=f"github:a/b/{'f' * 40}")
    assert named["drift"]["state"] == "unknown"


def test_fleet(monkeypatch: pytest.MonkeyPatch, shown: list[str]) -> None:
    found = act(monkeypatch, FakeHost([WELL | {"manager": "running"}]), "system_info")
    waits = act(monkeypatch, FakeHost([WELL | {"boot_default": "/nix/store/b"}]), "system_info")
    hosts = {"web1": found, "web2": waits, "web3": {"unreachable": True, "msg": "no route"}}
    result = act(monkeypatch, FakeHost(), "fleet_status", hosts=hosts)
    assert [row["host"] for row in result["rows"]] == ["web1", "web2", "web3"]
    assert result["rows"][2] == dict.fromkeys(result["rows"][2], "-") | {"host": "web3", "health": "unreachable"}
    assert (result["silent"], sorted(result["remarks"])) == (["web3"], ["web2", "web3"])
    assert shown[0].split() == ["host", "system", "reboot", "health"]
    assert shown[-1] == "web3: no route"
    assert len(shown) == 6


def test_fleet_that_is_not_shown(monkeypatch: pytest.MonkeyPatch, shown: list[str]) -> None:
    result = act(monkeypatch, FakeHost(), "fleet_status", hosts={"a": {"failed": True}}, show=False)
    assert (shown, result["remarks"]) == ([], {"a": ["did not say why"]})


def test_check(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost([{"unit": "a.service active"}])
    assert act(monkeypatch, host, "system_check", units=["a.service"])["attempts"] == 1
    host = FakeHost()
    assert act(monkeypatch, host, "system_check", check_mode=True, units=["a.service"])["attempts"] == 0
    failed = act(monkeypatch, FakeHost([{"unit": "a.service failed"}]), "system_check", units=["a.service"], timeout=0)
    assert (failed["failed"], failed["reason"]) == (True, "checks-failed")


def test_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost([WELL | {"generation": "2", "generation_of": ["1 0\n/nix/store/b\n\n", "2 0\n/nix/store/a\n\n"]}])
    result = act(monkeypatch, host, "system_generations", check_mode=True, keep=1)
    assert [one["generation"] for one in result["removed"]] == [1]
    assert host.commands == ["info"]
    failed = act(monkeypatch, FakeHost([WELL | {"root": "1000"}]), "system_generations", keep=1)
    assert failed["reason"] == "not-root"
    assert "set 'become: true'" in failed["msg"]
