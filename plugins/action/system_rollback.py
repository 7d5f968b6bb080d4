# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rolls back to an earlier system. See the module's documentation."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils._action import HostAction
from ..plugin_utils._deployment.rollback import roll_back
from ..plugin_utils._deployment.settings import Settings
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_rollback`."""

    module = "system_rollback"
    rules: ClassVar = {"mutually_exclusive": [("generation", "toplevel")]}

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Try the earlier system live, confirm it unless somebody else does, and follow it to its end."""
        return roll_back(host, Settings.from_options(options), self.context, options["generation"])
