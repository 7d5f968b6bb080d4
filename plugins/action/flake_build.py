# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds a system on the host. See the module's documentation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from ..plugin_utils._action import HostAction
from ..plugin_utils._build.elsewhere import build
from ..plugin_utils._build.settings import BuildContext, BuildSettings
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.flake_build`."""

    module = "flake_build"
    rules: ClassVar = {
        "mutually_exclusive": [("flake", "reference", "toplevel")],
        "required_one_of": [("flake", "reference", "toplevel")],
    }

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Send what the host lacks of the flake; start the build or find it running, and follow its log to the end."""
        settings = BuildSettings.from_options(options)
        if self.check_mode:
            # It is not in the store.
            settings = replace(settings, out_link="")
        given = options["needs_system"]
        needs_system = not settings.attribute if given is None else given
        context = BuildContext(
            self.check_mode, self.common_file, self.host_of, self.configurations, needs_system, needs_system
        )
        result, _answer = build(host, settings, context)
        return result
