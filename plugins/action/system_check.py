# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks units, ports and pages until they are as they should be. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._codes import Refusal
from ..plugin_utils._host.answer import HostError
from ..plugin_utils._host.connection import Host
from ..plugin_utils._status.checks import Checks, until_well


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_check`."""

    module = "system_check"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """In check mode nothing is checked."""
        checks = Checks.from_options(options)
        if wrong := "; ".join(checks.wrong()):
            raise HostError(wrong, Refusal.BAD_OPTION)
        attempts = 0 if self.check_mode else until_well(host, checks)
        return {"changed": False, "attempts": attempts}
