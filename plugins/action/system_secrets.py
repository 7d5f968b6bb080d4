# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts secrets in place on a host that keeps its system. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._codes import State
from ..plugin_utils._deployment.confirm import confirm
from ..plugin_utils._deployment.live_test import try_live
from ..plugin_utils._deployment.settings import Settings
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_secrets`."""

    module = "system_secrets"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """A deployment of the system that runs, which changes nothing but secrets."""
        settings = Settings.for_secrets(options)
        begun, result = try_live(host, settings, self.context)
        if begun is None or begun.state != State.WINDOW or not settings.confirm:
            return result
        result.pop("decides_by")
        return result | confirm(host, begun, settings.of(result["toplevel"]))
