# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends a failed deployment. See the module's documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._codes import Refusal, State
from ..plugin_utils._deployment import messages
from ..plugin_utils._host.connection import Host
from ..plugin_utils._reason import in_full

_UNDECIDED = ("deployment", "decides_by")


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.fleet_outcome`."""

    module = "fleet_outcome"
    reaches_host = False

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Nothing here touches a host."""
        return outcome(host.name, options, len(self.task_vars.get("ansible_play_hosts_all", ())))


def outcome(name: str, options: Mapping[str, Any], hosts: int = 0) -> dict[str, Any]:
    """The result: why it failed, in full. `hosts` is how many the play has, where that is known."""
    failure = options["failure"] or _without_a_result(name, options["all_or_nothing"], hosts)
    open_: dict[str, str] = {}
    text = in_full(name, str(failure.get("msg") or "a task failed without a message").strip())
    lines = [text]
    if not options["activated"]:
        lines.append(f"{name} is as it was: nothing was activated.")
    elif options["until_reboot"]:
        lines.append(f"{name} has confirmed its new system all the same, and runs it until the next reboot.")
    elif options["committed"]:
        lines.append(f"{name} has committed its new system all the same, and keeps it.")
    elif options["rolled_back_to"]:
        lines.append(f"{name} has rolled back. It runs {options['rolled_back_to']} again.")
    elif options["undecided"].get("deployment"):
        values = {key: options["undecided"][key] for key in _UNDECIDED if options["undecided"].get(key)}
        open_ = {**values, "state": str(State.UNKNOWN)}
        said = messages.undecided(name, values)
        # It may have said so itself.
        lines += [said] if said and said not in text else []
    reason = {"reason": failure["reason"]} if failure.get("reason") else {}
    return {"failed": True, "changed": False, "msg": "\n".join(lines), **open_, **reason}


def _without_a_result(name: str, all_or_nothing: bool, hosts: int) -> dict[str, Any]:
    """No task has failed on this host: another host ends it, or a file of tasks could not be read."""
    if all_or_nothing and hosts != 1:
        return {"reason": str(Refusal.ANOTHER_HOST_FAILED), "msg": "another host of the fleet failed"}
    said = (
        f"your own tasks for {name} could not be begun, as the error above says; mend the file that"
        " deploy_flake_checks or deploy_flake_pre_activate_tasks names"
    )
    if hosts > 1:
        said = f"a task of yours failed on another host, and ends it for all (run_once), or {said}"
    return {"reason": str(Refusal.CHECKS_FAILED), "msg": said}
