# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a failed deployment ends: with its own reason, or with that of another host of its fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from unit.actions import Runner
from unit.fake_host import FakeHost
from unit.settings import NEW

from ansible_collections.deploy_flake.nixos.plugins.action.fleet_outcome import outcome
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

ROLLED_BACK = "web1 has rolled back. It runs /nix/store/o-old again."
NOTHING: dict[str, Any] = {
    "failure": {},
    "activated": True,
    "committed": False,
    "until_reboot": False,
    "rolled_back_to": None,
    "undecided": {},
    "all_or_nothing": True,
}


@pytest.mark.parametrize(
    ("options", "message", "reason"),
    [
        ({}, "another host of the fleet failed", "another-host-failed"),
        ({"failure": {"msg": "it broke\nin many\nlines", "reason": "busy"}}, "it broke\nin many\nlines", "busy"),
        ({"failure": {"msg": "the page is gone"}}, "the page is gone", None),
        ({"failure": {"rc": 3}}, "a task failed without a message", None),
        (
            {"rolled_back_to": "/nix/store/o-old"},
            f"another host of the fleet failed\n{ROLLED_BACK}",
            "another-host-failed",
        ),
        (
            {"failure": {"msg": "no answer"}, "committed": True},
            "no answer\nweb1 has committed its new system all the same, and keeps it.",
            None,
        ),
        (
            {"failure": {"msg": "no answer"}, "activated": False},
            "no answer\nweb1 is as it was: nothing was activated.",
            None,
        ),
        (
            {"activated": False},
            "another host of the fleet failed\nweb1 is as it was: nothing was activated.",
            "another-host-failed",
        ),
        (
            {"failure": {"msg": "no answer"}, "until_reboot": True},
            "no answer\nweb1 has confirmed its new system all the same, and runs it until the next reboot.",
            None,
        ),
    ],
)
def test_outcome(options: dict[str, Any], message: str, reason: str | None) -> None:
    result = outcome("web1", NOTHING | options)
    assert (result["failed"], result["changed"]) == (True, False)
    assert (result["msg"], result.get("reason")) == (message, reason)


WAITS = {"deployment": "the-id", "state": "window", "decides_by": "2026-01-01T00:00:00+00:00", "failed": False}
UNKNOWN = (
    "Outcome unknown: what web1 has begun of deployment the-id, it finishes or undoes by itself, by"
    " 2026-01-01T00:00:00+00:00 at the latest."
)


@pytest.mark.parametrize("failure", [{}, {"msg": f"no answer\n{UNKNOWN}", "reason": "lost"}])
def test_nobody_knows_the_outcome(failure: dict[str, Any]) -> None:
    result = outcome("web1", NOTHING | {"failure": failure, "undecided": WAITS})
    # Once, also where the failure says so.
    assert result["msg"] == f"{'no answer' if failure else 'another host of the fleet failed'}\n{UNKNOWN}"
    assert (result["state"], result["deployment"], result["decides_by"]) == ("unknown", "the-id", WAITS["decides_by"])


def test_nobody_decides() -> None:
    result = outcome("web1", NOTHING | {"undecided": {"deployment": "the-id", "state": "unknown"}})
    assert (result["msg"], result["state"]) == ("another host of the fleet failed", "unknown")
    assert "decides_by" not in result
    # One that has said nothing of a deployment has none.
    assert "state" not in outcome("web1", NOTHING | {"undecided": {"skipped": True}})
    assert "state" not in outcome("web1", NOTHING | {"undecided": WAITS, "committed": True})


@pytest.mark.parametrize(("hosts", "all_or_nothing"), [(1, True), (3, False)])
def test_where_no_other_host_can_end_it(hosts: int, all_or_nothing: bool) -> None:
    """A file of tasks that cannot be read fails without a result."""
    result = outcome("web1", NOTHING | {"all_or_nothing": all_or_nothing}, hosts)
    assert "your own tasks for web1 could not be begun" in result["msg"]
    assert ("another host" in result["msg"]) == (hosts > 1)
    assert result["reason"] == "checks-failed"


def test_reason_is_told_in_the_end_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Runner(monkeypatch)
    text = "web1 could not build 'web1'.\nerror: it is broken"
    in_the_role = {"deploy_flake_told_in_the_end": True}

    def failed(error: Exception, task_vars: dict[str, Any]) -> dict[str, Any]:
        return run("system_test", FakeHost([error]), {"toplevel": NEW}, task_vars)

    begun = failed(HostError(text, Refusal.BUILD_FAILED), in_the_role)
    assert (begun["msg"], begun["reason"]) == ("web1 could not build 'web1'.", "build-failed")
    ended = run("fleet_outcome", FakeHost(), {"failure": begun, "rolled_back_to": "/nix/store/o-old"})
    assert ended["msg"] == f"{text}\nhost1 has rolled back. It runs /nix/store/o-old again."
    # What was kept is not told for another failure, nor kept where nobody tells it in the end.
    assert run("fleet_outcome", FakeHost(), {"failure": {"msg": "it is late"}})["msg"] == "it is late"
    assert failed(HostError(text, Refusal.BUILD_FAILED), {})["msg"] == text
    assert failed(HostError("in a line", Refusal.NOT_VALID), in_the_role)["msg"] == "in a line"
    # The task was delegated, so another host was asked.
    elsewhere = FakeHost([HostError(text, Refusal.BUILD_FAILED)])
    elsewhere.name = "builder"
    begun = run("system_test", elsewhere, {"toplevel": NEW}, in_the_role | {"inventory_hostname": "host1"})
    assert run("fleet_outcome", FakeHost(), {"failure": begun})["msg"] == text


def test_reason_that_cannot_be_kept_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / "gone"))
    host = FakeHost([HostError("one\ntwo", Refusal.NOT_VALID)])
    result = Runner(monkeypatch)("system_test", host, {"toplevel": NEW}, {"deploy_flake_told_in_the_end": True})
    assert result["msg"] == "one\ntwo"
