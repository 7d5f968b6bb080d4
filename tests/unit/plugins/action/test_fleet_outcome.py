# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a failed deployment ends: with its own reason, or with that of another host of its fleet."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.deploy_flake.nixos.plugins.action.fleet_outcome import outcome

ROLLED_BACK = "web1 has rolled back. It runs /nix/store/o-old again, which it also boots."
NOTHING: dict[str, Any] = {"failure": {}, "committed": False, "rolled_back_to": None}


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
