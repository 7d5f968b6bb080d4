# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries a system live under a supervisor. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._deployment.live_test import try_live
from ..plugin_utils._deployment.settings import Settings
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_test`."""

    module = "system_test"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Start the supervisor, and follow it until it waits for confirmation or has ended."""
        _begun, result = try_live(host, Settings.from_options(options), self.context)
        return result
