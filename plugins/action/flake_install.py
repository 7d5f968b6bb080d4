# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installs NixOS on a machine that has booted an installer. See the module's documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible import constants

from ..plugin_utils._action import HostAction
from ..plugin_utils._build.settings import BuildContext
from ..plugin_utils._host.connection import Host
from ..plugin_utils._install.install import install
from ..plugin_utils._install.settings import InstallSettings


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.flake_install`."""

    module = "flake_install"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Build all that is needed, erase, install, and wait for the new system."""
        context = BuildContext(self.check_mode, self.common_file, self.host_of)
        # Ansible makes its constants as it starts.
        directory = Path(constants.DEFAULT_LOCAL_TMP)  # type: ignore[attr-defined]
        settings = InstallSettings.from_options(options, host)
        settings.refuse_several_hosts(self.task_vars.get("ansible_play_hosts_all", ()))
        return install(host, settings, context, directory)
