# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Confirms a tested system and makes it the boot default. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._deployment import deployment
from ..plugin_utils._deployment.boot_default import make_default
from ..plugin_utils._deployment.confirm import come_anew, confirm
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_boot`."""

    module = "system_boot"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Confirm the deployment, or start one that has nothing to test; follow it to its end."""
        if options["deployment"]:
            return self._confirm(host, options)
        return make_default(host, options, self.check_mode, self.diff_mode)

    def _confirm(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        waiting = deployment.Deployment(host, options["deployment"], options["reconnect_timeout"])
        if self.check_mode:
            return {"changed": True, "deployment": waiting.id, "state": "would-boot"}
        if options["prepare"]:
            come_anew(host, waiting, options)
            answer = waiting.ask("prepare")
            result = deployment.result_of(host, waiting, answer)
            return result | {"changed": False} | ({"state": "prepared"} if answer.get("prepared") else {})
        return confirm(host, waiting, options["toplevel"], options)
