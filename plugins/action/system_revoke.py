# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells a deployment that waits for confirmation to roll back now. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._codes import ResultState
from ..plugin_utils._deployment.deployment import Deployment
from ..plugin_utils._deployment.revoke import revoke
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_revoke`."""

    module = "system_revoke"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Revoke, and follow the deployment to its end, whichever that is."""
        waiting = Deployment(host, options["deployment"], options["reconnect_timeout"])
        if self.check_mode:
            return {"changed": True, "deployment": waiting.id, "state": ResultState.WOULD_REVOKE}
        return revoke(host, waiting, options["reason"])
