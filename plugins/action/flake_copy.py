# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts a snapshot of a local flake into the host's store. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._build.settings import CopySettings
from ..plugin_utils._build.transfer import Sources
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.flake_copy`."""

    module = "flake_copy"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Ask the host which snapshots it lacks, and send those."""
        settings = CopySettings.from_options(options)
        with Sources(host, settings, self.common_file(settings.flake)) as sources:
            if lacks := sources.not_locked():
                host.warn(f"{lacks}; it cannot be built as it is")
            sources.bring()
            return {"changed": sources.bytes_sent > 0, **sources.facts()}
