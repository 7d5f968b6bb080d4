# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Goes back to an earlier system. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._deployment.confirm import confirm, refuse_to_confirm_alone
from ..plugin_utils._deployment.live_test import try_live
from ..plugin_utils._host.answer import HostError
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_rollback`."""

    module = "system_rollback"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Try the earlier system live, confirm it unless somebody else does, and follow it to its end."""
        begun, result = try_live(host, options, self, _target(options))
        if begun is None or begun.state != "window" or not options["confirm"]:
            return result
        result.pop("decides_by")
        return result | confirm(host, begun, result["toplevel"], options)


def _target(options: dict[str, Any]) -> str:
    """What the host is to look for; "" where the system itself is given."""
    if options["generation"] is not None and options["toplevel"]:
        raise HostError("give 'generation' or 'toplevel', and not both", "bad-option")
    refuse_to_confirm_alone(options)
    if options["toplevel"]:
        return ""
    return "previous" if options["generation"] is None else str(options["generation"])
