# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes old generations. See the module's documentation."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils._action import HostAction
from ..plugin_utils._host.connection import Host
from ..plugin_utils._removal.removal import RemovalSettings, remove_generations


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_generations`."""

    module = "system_generations"
    rules: ClassVar = {"required_if": [("collect_garbage", False, ("keep", "keep_days"), True)]}

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Look, choose, and have the host do it."""
        return remove_generations(host, RemovalSettings.from_options(options), self.check_mode)
