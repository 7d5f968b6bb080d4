# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reboots a host, or boots a system once. See the module's documentation."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils._action import HostAction
from ..plugin_utils._deployment.settings import RebootSettings
from ..plugin_utils._deployment.system_reboot import reboot_or_try
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_reboot`."""

    module = "system_reboot"
    rules: ClassVar = {"required_if": [("trial", True, ("toplevel",))]}

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Look whether there is something to do, and do it."""
        return reboot_or_try(host, RebootSettings.from_options(options), self.context)
