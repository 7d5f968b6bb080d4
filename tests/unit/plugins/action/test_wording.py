# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is decided by the wording of a message: every sentence is replaced, and all ends as it did."""

from __future__ import annotations

import json
from typing import Any

import pytest
from unit.actions import act
from unit.fake_host import FakeHost, Scripted
from unit.settings import NEW, OLD

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import State
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection, reboot
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer, HostError

LOOKED = {"valid": "yes", "new_live": NEW, "previous_live": OLD, "previous_boot": OLD, "boot_id": "one"}
WINDOW = {"state": "window", "window_left": "100"}
CONFIRMED = {"state": "confirmed", "confirmed": "yes"}


def ended(state: State, **fields: str) -> dict[str, str]:
    record = {"outcome": state, "from": OLD, "to": NEW, "to_live": NEW, "live": NEW, "boot": NEW, "generation": "8"}
    return {"state": state, "record": json.dumps(record | fields)}


COMMITTED = ended(State.COMMITTED)
# What is there for people, in an answer and in a record.
PEOPLE = (
    "message",
    "why",
    "needs_reboot_text",
    "blocked_text",
    "note",
    "jobs",
    "earlier",
    "entries",
    "journal",
    "said",
)
IN_RECORDS = ("why", "notes", "journal", "log")
BEFORE = {"boot_id": "one", "booted": OLD, "current": OLD, "boot_default": NEW, "manager": "running"}
WAITS = BEFORE | {"blocked": "in-progress", "blocked_text": "a deployment is in progress on it"}
LEFT = BEFORE | {"blocked": "unfinished", "blocked_text": "a deployment was left unfinished on it"}
REFUSED = {"why": "the new system needs a reboot", "why_code": "reboot-required"}
STATUS_100 = {"checked": "yes", "needs_reboot": "status-100", "needs_reboot_text": "dry-activate exited 100"}
SCENES: dict[str, tuple[str, dict[str, Any], list[Scripted], bool]] = {
    "committed": ("system_rollback", {"toplevel": NEW}, [LOOKED, WINDOW, CONFIRMED, COMMITTED], False),
    "refused": ("system_test", {"toplevel": NEW}, [LOOKED, ended(State.REFUSED, **REFUSED)], False),
    "rolled back": (
        "system_test",
        {"toplevel": NEW},
        [LOOKED, ended(State.ROLLED_BACK, why="units have failed: a", why_code="units-failed", notes="n", log="l")],
        False,
    ),
    "busy, then free": (
        "system_boot",
        {"toplevel": NEW},
        [{"refused": "busy", "message": "is being switched"}, LOOKED, COMMITTED],
        False,
    ),
    "no space": ("system_boot", {"toplevel": NEW}, [{"refused": "no-space", "message": "has 1 KiB free"}], False),
    "unknown": ("system_boot", {"toplevel": NEW, "deployment": "d"}, [{"state": "unknown"}], False),
    "reboot after a wait": (
        "system_reboot",
        {},
        [WAITS, BEFORE, BEFORE, BEFORE | {"boot_id": "two", "booted": NEW}],
        False,
    ),
    "reboot that is refused": ("system_reboot", {}, [LEFT], False),
    "needs a reboot": ("system_test", {"toplevel": NEW}, [LOOKED | STATUS_100], True),
    "would refuse": (
        "system_test",
        {"toplevel": NEW},
        [LOOKED | STATUS_100 | REFUSED],
        True,
    ),
    "unclear": (
        "system_test",
        {"toplevel": NEW},
        [LOOKED | {"checked": "yes", "why": "dry-activate exited 1", "why_code": "unclear"}],
        True,
    ),
    "revoked": (
        "system_revoke",
        {"deployment": "d"},
        [{"state": "rolling-back", "revoked": "yes"}, ended(State.ROLLED_BACK, why="revoked", why_code="revoked")],
        False,
    ),
}


def reworded(scripted: Scripted, words: str) -> Scripted:
    """An answer with every sentence replaced."""
    assert not isinstance(scripted, Exception)
    answer = {name: words if name in PEOPLE else value for name, value in scripted.items()}
    if isinstance(record := answer.get("record"), str):
        line = json.loads(record)
        answer["record"] = json.dumps({name: words if name in IN_RECORDS else each for name, each in line.items()})
    return answer


def decided(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what is there for people, and without names and times that differ from run to run."""
    left_out = ("msg", "notes", "deployment", "decides_by", "elapsed")
    return {name: value for name, value in result.items() if name not in left_out}


@pytest.mark.parametrize("words", ["x", "needs a reboot, is at work, exited 100, another host of the fleet failed"])
@pytest.mark.parametrize("scene", SCENES)
def test_nothing_is_decided_by_the_wording_of_a_message(
    monkeypatch: pytest.MonkeyPatch, scene: str, words: str
) -> None:
    name, args, answers, check_mode = SCENES[scene]
    for module in (reboot, connection):
        monkeypatch.setattr(f"{module.__name__}.time.sleep", lambda _seconds: None)
    host = FakeHost(answers)
    expected = act(monkeypatch, host, name, check_mode, **args)
    assert host.done()

    original = HostError.__init__

    def say_it_otherwise(self: HostError, _message: str, reason: str = "", answer: Answer | None = None) -> None:
        original(self, words, reason, answer)

    monkeypatch.setattr(HostError, "__init__", say_it_otherwise)
    messages = "ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.messages"
    for function in ("progress", "who_is_busy", "failure", "excerpt", "after_refusal"):
        monkeypatch.setattr(f"{messages}.{function}", lambda *_given, **_named: words)
    again = FakeHost([reworded(each, words) for each in answers])
    found = act(monkeypatch, again, name, check_mode, **args)
    assert decided(found) == decided(expected)
    assert again.commands == host.commands
    assert again.done()
    if "msg" in expected:
        assert words in found["msg"]
