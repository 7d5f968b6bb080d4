# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries a system live under a supervisor. See the module's documentation."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import changes, deployment, foresight, report
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host import Host
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_test`."""

    module = "system_test"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Start the supervisor, and follow it until it waits for confirmation or has ended."""
        fleet = len(self.task_vars.get("ansible_play_hosts_all", ())) if options["all_or_nothing"] else 0
        batches = math.ceil(fleet / int(self.task_vars.get("ansible_forks") or 5))
        different = {}
        if self.diff_mode and not self.check_mode:
            different = changes.look(host, options["toplevel"], "test", options["reconnect_timeout"])
        begun, before, answer = deployment.start(host, options, "test", self.check_mode, batches, self.diff_mode)
        systems = {
            "toplevel": options["toplevel"],
            "previous_system": before.get("previous_live"),
            "previous_boot_default": before.get("previous_boot"),
        }
        if before.get("unchanged"):
            generation = report.number(before.get("generation"))
            return {"changed": False, "deployment": "", "state": "unchanged", "generation": generation, **systems}
        if begun is None:
            return systems | changes.result_of(host, before) | foresight.result_of(host, options, before, "test")
        answer = begun.follow(answer, lambda state: state == "window")
        result = systems | different | deployment.result_of(host, begun, answer)
        if begun.state == "window":
            left = int(answer.get("window_left") or 0) + begun.time_to_undo
            result["decides_by"] = (datetime.now(UTC) + timedelta(seconds=left)).isoformat(timespec="seconds")
        return result
