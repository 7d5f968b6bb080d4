# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows one table of what was found on many hosts. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display

from ..plugin_utils._action import HostAction
from ..plugin_utils._host.connection import Host
from ..plugin_utils._printable import printable
from ..plugin_utils._status import fleet_table


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.fleet_status`."""

    module = "fleet_status"
    reaches_host = False

    def act(self, _host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Nothing here touches a host."""
        hosts = options["hosts"]
        rows = [fleet_table.row(name, found) for name, found in hosts.items()]
        remarks = {name: said for name, found in hosts.items() if (said := fleet_table.remarks(found))}
        if options["show"]:
            Display().display(printable("\n".join([*fleet_table.table(rows), *fleet_table.grouped(remarks)])))
        silent = [name for name, found in hosts.items() if fleet_table.silent(found)]
        return {
            "changed": False,
            "rows": [fleet_table.shown(row) for row in rows],
            "remarks": remarks,
            "silent": silent,
        }
