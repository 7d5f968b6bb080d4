# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries a system live: starts the supervisor, and follows it until it waits for confirmation or has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .._action import HostAction
from .._host.answer import Answer
from .._host.connection import Host
from . import check_mode as foresight
from . import deployment
from . import diff as changes
from . import messages as report


def try_live(
    host: Host, options: Mapping[str, Any], task: HostAction, to: str | None = None, since_boot: str = ""
) -> tuple[deployment.Deployment | None, dict[str, Any]]:
    """The deployment, or None where there is nothing to do, and the return values so far. `to` is for a rollback.

    With `since_boot` the system was just built (deployment.start).
    """
    fleet = len(task.task_vars.get("ansible_play_hosts_all", ())) if options["all_or_nothing"] else 0
    batches = math.ceil(fleet / int(task.task_vars.get("ansible_forks") or 5))
    begun, before, answer = deployment.start(
        host, options, "test", task.check_mode, batches, task.diff_mode, to, since_boot
    )
    result = _before(options, before)
    if to is not None:
        result["generation_from"] = report.number(before.get("generation_from"))
        result["generation_to"] = report.number(before.get("generation_to"))
    if begun is None:
        return None, result | {"system": before.get("previous_live")} | _not_begun(host, options, before, to)
    answer = begun.follow(answer, lambda state: state == "window")
    result |= begun.changes | deployment.result_of(host, begun, answer)
    if begun.state == "window":
        left = int(answer.get("window_left") or 0) + begun.time_to_undo
        result["decides_by"] = (datetime.now(UTC) + timedelta(seconds=left)).isoformat(timespec="seconds")
        # One that needs a reboot was not activated.
        result["system"] = result["previous_system"] if answer.get("mode") == "boot" else before.get("new_live")
    return begun, result


def unchanged(options: Mapping[str, Any], before: Answer) -> dict[str, Any]:
    """The return values of a test where there is nothing to do, from what the host said of itself."""
    return _before(options, before) | {"system": before.get("previous_live")} | deployment.unchanged(before)


def _before(options: Mapping[str, Any], before: Answer) -> dict[str, Any]:
    return {
        "toplevel": before.get("toplevel") or options["toplevel"],
        "specialisation": options["specialisation"] or "",
        "previous_system": before.get("previous_live"),
        "previous_boot_default": before.get("previous_boot"),
    }


def _not_begun(host: Host, options: Mapping[str, Any], before: Answer, to: str | None) -> dict[str, Any]:
    """There is nothing to do, or this is check mode."""
    if before.get("unchanged"):
        return deployment.unchanged(before)
    foretold = foresight.result_of(host, options, before, "test")
    if to is not None and foretold["state"] == "would-test":
        foretold["state"] = "would-rollback"
    return changes.result_of(host, before) | foretold
