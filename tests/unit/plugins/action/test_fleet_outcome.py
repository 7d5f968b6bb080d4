# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a failed deployment ends: with its own reason, or with that of another host of its fleet."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.deploy_flake.nixos.plugins.action.fleet_outcome import outcome

ROLLED_BACK = "web1 has rolled back. It runs /nix/store/o-old again."
NOTHING: dict[str, Any] = {"failure": {}, "committed": False, "rolled_back_to": None, "undecided": {}}


@pytest.mark.parametrize(
    ("options", "message", "reason"),
    [
        ({}, "another host of the fleet failed", "another-host-failed"),
        ({"failure": {"msg": "it broke\nin many\nlines", "reason": "busy"}}, "it broke", "busy"),
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
    assert result["msg"] == f"{'no answer' if failure else 'another host of the fleet failed'}\n{UNKNOWN}"
    assert (result["state"], result["deployment"], result["decides_by"]) == ("unknown", "the-id", WAITS["decides_by"])


def test_nobody_decides() -> None:
    result = outcome("web1", NOTHING | {"undecided": {"deployment": "the-id", "state": "unknown"}})
    assert (result["msg"], result["state"]) == ("another host of the fleet failed", "unknown")
    assert "decides_by" not in result
    # One that has said nothing of a deployment has none.
    assert "state" not in outcome("web1", NOTHING | {"undecided": {"skipped": True}})
    assert "state" not in outcome("web1", NOTHING | {"undecided": WAITS, "committed": True})
