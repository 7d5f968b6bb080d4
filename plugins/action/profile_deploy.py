# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploys a profile that is no NixOS system. See the module's documentation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from ..plugin_utils._action import HostAction
from ..plugin_utils._build.elsewhere import build
from ..plugin_utils._build.settings import BuildContext, BuildSettings
from ..plugin_utils._codes import Refusal, ResultState, State, Step
from ..plugin_utils._deployment import live_test
from ..plugin_utils._deployment.confirm import confirm
from ..plugin_utils._deployment.context import Context
from ..plugin_utils._deployment.profile import Profile
from ..plugin_utils._deployment.settings import Settings, Source
from ..plugin_utils._deployment.start import look_at_profile
from ..plugin_utils._deployment.way_in import refuse_unproven_way_in
from ..plugin_utils._host.answer import Answer, HostError, number
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.profile_deploy`."""

    module = "profile_deploy"
    rules: ClassVar = {"mutually_exclusive": [("flake", "toplevel")], "required_one_of": [("flake", "toplevel")]}

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Build it, try it live, confirm it over a fresh connection: as a system is deployed."""
        profile = Profile.from_options(options)
        settings = Settings.for_profile(options)
        refuse_unproven_way_in(host, settings.allow)
        host.kind = profile.on_host
        wanted = BuildSettings.from_options(options)
        if wanted.flake and not wanted.attribute:
            wanted = replace(wanted, attribute=profile.attribute_for(wanted.configuration or host.on_behalf_of))
            if not wanted.attribute:
                raise HostError(
                    "of a profile nobody knows which output of the flake it is; name it with attribute, as"
                    " packages.x86_64-linux.web",
                    Refusal.BAD_OPTION,
                )
        context = BuildContext(self.check_mode, self.common_file, self.host_of, self.configurations, needs_system=False)
        built, looked = build(host, wanted, context)
        settings = settings.of(built["toplevel"], Source.from_options({**built, "flake": options["flake"]}))
        kept = {"profile": profile.path, "build": built}
        if self.check_mode:
            return {**kept, **_would(host, settings, built)}
        host.step(Step.TEST, f"is to try {settings.toplevel}")
        since_boot = looked.get("boot_id")
        waiting, result = live_test.try_live(host, settings, self._without_diff(), since_boot=since_boot)
        if waiting and waiting.state == State.WINDOW:
            host.step(Step.BOOT, "is asked to confirm the new generation, over a new connection")
            result |= confirm(host, waiting, settings)
        return {**kept, **_of_a_profile(result), "changed": built["changed"] or result.get("changed", False)}

    def _without_diff(self) -> Context:
        """Of a profile no diff is shown."""
        return replace(self.context, diff_mode=False)


def _would(host: Host, settings: Settings, built: dict[str, Any]) -> dict[str, Any]:
    """Check mode: what was built, and whether the host would try it."""
    if not built["valid"]:
        return {"changed": True, "state": ResultState.WOULD_TEST}
    before = look_at_profile(host, settings)
    if before.get("unchanged"):
        return {"changed": built["changed"], "state": ResultState.UNCHANGED, "deployment": "", **_generations(before)}
    host.tell(f"would try {settings.toplevel}")
    return {"changed": True, "state": ResultState.WOULD_TEST, "deployment": "", **_generations(before)}


def _generations(before: Answer) -> dict[str, Any]:
    return {
        "previous_generation": before.get("previous_boot"),
        "generation": number(before.get("generation")),
    }


# What says of a system what it is, says it of a generation by another name.
_RENAMED = {"system": "live", "boot_default": "active_generation", "previous_boot_default": "previous_generation"}
_LEFT_OUT = ("specialisation", "reboot_required", "boot_loader", "boot_loader_default", "previous_system")


def _of_a_profile(result: dict[str, Any]) -> dict[str, Any]:
    """The return values, without those that only a system has."""
    return {_RENAMED.get(name, name): value for name, value in result.items() if name not in _LEFT_OUT}
