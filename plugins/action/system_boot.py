# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Confirms a tested system and makes it the boot default. See the module's documentation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from ..plugin_utils._action import HostAction
from ..plugin_utils._codes import ResultState
from ..plugin_utils._deployment.boot_default import make_boot_default
from ..plugin_utils._deployment.confirm import confirm, prepare
from ..plugin_utils._deployment.deployment import Deployment
from ..plugin_utils._deployment.settings import Settings
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_boot`."""

    module = "system_boot"
    rules: ClassVar = {"required_if": [("prepare", True, ("deployment",))]}

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Confirm the deployment, or start one that has nothing to test; follow it to its end."""
        settings = Settings.from_options(options)
        settings.refuse_without_step(self.context.strategy if options["prepare"] else "")
        if not options["deployment"]:
            return make_boot_default(host, settings, self.context)
        limits = settings.limits.with_time_to_confirm(self.context.batches if settings.all_or_nothing else 0)
        limits = replace(limits, brings_secrets=options["brings_secrets"])
        waiting = Deployment(host, options["deployment"], settings.reconnect_timeout, limits)
        if self.check_mode:
            return {"changed": True, "deployment": waiting.id, "state": ResultState.WOULD_BOOT}
        return (prepare if options["prepare"] else confirm)(host, waiting, settings)
