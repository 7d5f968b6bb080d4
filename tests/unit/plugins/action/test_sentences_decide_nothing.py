# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With other words in the place of every sentence that a host says, the same is done and the same is returned.

Nix has no codes; what is recognised in its words is tested with them, in test_nix_errors.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.actions import act
from unit.building import REFERENCE, SYSTEM, done, failed
from unit.fake_host import FakeHost, Scripted

FOR_PEOPLE = {"message", "trial_outcome", "holder_about"}
RETURNED_FOR_PEOPLE = {"msg", "text", "outcome", "why", "log"}

OPEN: dict[str, Any] = {"open": "x", "open_state": "window", "open_unit": "active"}
INFO: dict[str, Any] = {
    "root": "0",
    "now": "1000",
    "current": "/nix/store/a",
    "booted": "/nix/store/a",
    "boot_default": "/nix/store/b",
    "generation": "2",
    "generation_of": ["1 0\n/nix/store/b\n\n", "2 0\n/nix/store/a\n\n", "3 0\n/nix/store/c\n\n"],
}
RECORD = {"id": "x", "outcome": "commit-failed", "live": "/nix/store/a", "boot": "/nix/store/b", "why": "no space left"}
REMOVED: dict[str, Any] = {"result": "ok", "removed": ["3"], "boot_written": "yes"}
NO_DISK = "error: No space left on device, does not provide attribute, cannot write modified lock file"


@dataclass
class Case:
    """A task, and what the host answers."""

    module: str
    answers: list[Scripted]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.module


CASES = [
    Case("system_info", [INFO | OPEN | {"deployment": json.dumps(RECORD)}]),
    Case("system_info", [INFO | {"trial": "/nix/store/a", "trial_outcome": "it was booted once and runs"}]),
    Case("system_info", [INFO | {"trial": "/nix/store/c", "trial_outcome": "it is in progress"}]),
    Case("system_generations", [INFO, REMOVED, {}], {"keep": 0}),
    Case("system_generations", [INFO, REMOVED | {"result": "boot-failed 1", "log": "busy killed"}, {}], {"keep": 0}),
    Case("system_generations", [INFO, {"result": "killed", "log": "all is ok"}, {}], {"keep": 0}),
    Case("system_generations", [INFO, {"refused": "busy", "message": "is busy"}, REMOVED, {}], {"keep": 0}),
    Case("system_generations", [INFO, {"refused": "no-unit", "message": "is busy"}], {"keep": 0}),
    Case("system_generations", [INFO, AnsibleConnectionFailure("busy"), REMOVED, {}], {"keep": 0}),
    Case("system_check", [{"unit": "a.service failed"}], {"units": ["a.service"], "timeout": 0}),
    Case("system_check", [AnsibleConnectionFailure("a.service active")], {"units": ["a.service"], "timeout": 0}),
    Case("flake_build", [done(), {}], {"toplevel": SYSTEM}),
    Case("flake_build", [failed(result="timeout 15"), {}], {"toplevel": SYSTEM}),
    Case("flake_build", [failed(result="killed"), {}], {"reference": REFERENCE}),
    Case("flake_build", [{"refused": "no-space", "message": NO_DISK}], {"reference": REFERENCE}),
    Case("flake_build", [{"refused": "no-user", "message": "busy"}], {"reference": REFERENCE}),
]


def reworded(scripted: Scripted, module: str) -> Scripted:
    """The same answer, in other words."""
    if isinstance(scripted, Exception):
        return type(scripted)("x")
    # The log of a removal is for people; that of a build is Nix's.
    sentences = FOR_PEOPLE | ({"log"} if module == "system_generations" else set())
    told = {name: "x" if name in sentences else value for name, value in scripted.items()}
    if "deployment" in told:
        told["deployment"] = json.dumps(RECORD | {"why": "x"})
    return told


def decisions(value: Any) -> Any:
    """A result without what is in it for people."""
    if isinstance(value, dict):
        return {name: decisions(one) for name, one in value.items() if name not in RETURNED_FOR_PEOPLE}
    return [decisions(one) for one in value] if isinstance(value, list) else value


def what_is_done(monkeypatch: pytest.MonkeyPatch, case: Case, answers: Iterable[Scripted]) -> Any:
    host = FakeHost(answers)
    result = act(monkeypatch, host, case.module, **case.options)
    asked = [(asked.command, {**asked.inputs, "id": ""}) for asked in host.asked]
    return decisions(result), asked, len(host.told), len(host.warned), host.resets


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sentences_decide_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    before = what_is_done(monkeypatch, case, case.answers)
    assert what_is_done(monkeypatch, case, [reworded(one, case.module) for one in case.answers]) == before


def test_a_table_is_made_of_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    found = act(monkeypatch, FakeHost([INFO | OPEN]), "system_info")
    found["drift"] = {"state": "unknown", "text": "no", "why": "", "revision": ""}
    first = act(monkeypatch, FakeHost(), "fleet_status", hosts={"a": found}, show=False)
    for explanation in found["explanations"]:
        explanation["text"] = "x"
    found["drift"] |= {"text": "x", "why": "x"}
    other = act(monkeypatch, FakeHost(), "fleet_status", hosts={"a": found}, show=False)
    assert first["rows"] == [other["rows"][0] | {"drift": "no"}]
    assert [len(said) for said in first["remarks"].values()] == [len(said) for said in other["remarks"].values()]
