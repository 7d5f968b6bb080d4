# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells what a host runs and boots. See the module's documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._build.transfer import locked
from ..plugin_utils._flake.drift import named_revision
from ..plugin_utils._flake.local import RemoteFlake, find_flake
from ..plugin_utils._flake.locked import Flake
from ..plugin_utils._flake.reference import FlakeError
from ..plugin_utils._host.answer import HostError
from ..plugin_utils._host.connection import Host
from ..plugin_utils._status import info


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_info`."""

    module = "system_info"
    asks_first = True

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Read everything in one go."""
        # Before the host is asked: a flake that is not there is no matter of the host's.
        flake: Flake | None = find_flake(options["flake"], Path.cwd()) if options["flake"] else None
        revisions = "yes" if options["revisions"] else "no"
        answer = host.run("info", limit=120, deployments=str(options["deployments"]), revisions=revisions)
        if isinstance(flake, RemoteFlake) and not named_revision(flake):
            flake = self._locked(host, options)
        values = info.values(answer, flake, options["configuration"])
        opened = values["open_deployment"]
        if opened and not opened["in_progress"]:
            host.warn(f"deployment {opened['deployment']} was left unfinished; the next deployment repairs it")
        return {"changed": False, **values}

    def _locked(self, host: Host, options: dict[str, Any]) -> Flake:
        """A remote flake as it is now, the same for all hosts; as it was given where nobody can tell."""
        try:
            return locked(host, options["flake"], options["reconnect_timeout"], self.common_file(options["flake"]))
        except (HostError, FlakeError) as error:
            host.warn(f"cannot be compared with the flake: {error}")
            return RemoteFlake(options["flake"])
