# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries a system live: starts the supervisor, and follows it until it waits for confirmation or has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import deployment, report
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host import Host


def trial(
    host: Host, options: Mapping[str, Any], check_mode: bool, task_vars: Mapping[str, Any], to: str | None = None
) -> tuple[deployment.Deployment | None, dict[str, Any]]:
    """The deployment, or None where there is nothing to do, and the return values so far. `to` is for a rollback."""
    fleet = len(task_vars.get("ansible_play_hosts_all", ())) if options["all_or_nothing"] else 0
    batches = math.ceil(fleet / int(task_vars.get("ansible_forks") or 5))
    begun, answer = deployment.start(host, options, "test", check_mode, batches, to)
    result: dict[str, Any] = {
        "toplevel": answer.get("toplevel") or options["toplevel"],
        "specialisation": options["specialisation"] or "",
        "previous_system": answer.get("previous_live"),
        "previous_boot_default": answer.get("previous_boot"),
    }
    if to is not None:
        result["generation_from"] = report.number(answer.get("generation_from"))
        result["generation_to"] = report.number(answer.get("generation_to"))
    if begun is None:
        unchanged = bool(answer.get("unchanged"))
        state = "unchanged" if unchanged else "would-test" if to is None else "would-rollback"
        generation = report.number(answer.get("generation"))
        result |= {"changed": not unchanged, "deployment": "", "state": state, "generation": generation}
        return None, result | {"system": answer.get("previous_live")}
    new_live = answer.get("new_live")
    answer = begun.follow(begun.ask("wait", "watch"), lambda state: state == "window")
    result |= deployment.result_of(host, begun, answer)
    if begun.state == "window":
        left = int(answer.get("window_left") or 0) + begun.time_to_undo
        result["decides_by"] = (datetime.now(UTC) + timedelta(seconds=left)).isoformat(timespec="seconds")
        # One that needs a reboot was not activated.
        result["system"] = result["previous_system"] if answer.get("mode") == "boot" else new_live
    return begun, result
