# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts a snapshot of a local flake into the host's store. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host import Host
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host_action import HostAction
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.sources import Sources


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.flake_copy`."""

    module = "flake_copy"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Ask the host which snapshots it lacks, and send those."""
        with Sources(host, options["flake"], self.common_file(options["flake"])) as sources:
            sources.bring(options)
            return {"changed": sources.bytes_sent > 0, **sources.facts()}
