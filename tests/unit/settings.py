# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as a task has them: what is not given is as the module's documentation says."""

from __future__ import annotations

from typing import Any

from unit.actions import options_of

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.settings import RebootSettings, Settings

OLD = "/nix/store/00000000000000000000000000000000-old"
NEW = "/nix/store/11111111111111111111111111111111-new"


def settings(**given: Any) -> Settings:
    """Those of system_rollback, which has nearly all options of a deployment."""
    defaults = {"toplevel": NEW, "confirm": False, "health_policy": "strict"}
    return Settings.from_options(options_of("system_rollback", **defaults | given))


def reboot_settings(**given: Any) -> RebootSettings:
    """Those of system_reboot."""
    return RebootSettings.from_options(options_of("system_reboot", **given))
