# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploys profiles that are no NixOS system. See the module's documentation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

from ..plugin_utils._action import HostAction
from ..plugin_utils._build.elsewhere import build
from ..plugin_utils._build.settings import BuildContext, BuildSettings
from ..plugin_utils._codes import ResultState, State, Step
from ..plugin_utils._deployment import live_test, messages
from ..plugin_utils._deployment.confirm import confirm
from ..plugin_utils._deployment.context import Context
from ..plugin_utils._deployment.profile import Profile, build_settings, profiles_from
from ..plugin_utils._deployment.settings import Settings, Source
from ..plugin_utils._deployment.start import look_at_profile
from ..plugin_utils._deployment.way_in import refuse_unproven_way_in
from ..plugin_utils._host.answer import Answer, number
from ..plugin_utils._host.connection import Host

_OF_THE_WHOLE = ("failed", "msg", "changed")
_OF_THE_LAST_ONE = ("failed", "reason", "deployment", "decides_by")


@dataclass
class _Deployed:
    """One of the host's profiles, and how far it is."""

    profile: Profile
    looked: Answer = field(default_factory=Answer)
    """What the host said when it was built."""
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return str(self.result.get("state") or ResultState.NOT_BEGUN)


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.profile_deploy`."""

    module = "profile_deploy"
    rules: ClassVar = {}

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Build them all; then try each live and confirm it over a fresh connection, as a system is deployed."""
        profiles = [_Deployed(one) for one in profiles_from(options)]
        wanted = [build_settings(one.profile, options, host.on_behalf_of) for one in profiles]
        settings = Settings.for_profiles(options)
        refuse_unproven_way_in(host, settings.allow)
        if not profiles:
            host.warn("no profile is named for it (profiles, deploy_flake_profiles): nothing was done")
            return {"changed": False, "state": ResultState.UNCHANGED, "profiles": []}
        # What cannot be built is known before anything is activated.
        for one, its in zip(profiles, wanted, strict=True):
            host.kind = one.profile.on_host
            one.result = self.attempt(host, partial(self._build, host, one, its))
            if one.result.get("failed"):
                return _together(host, profiles, one)
        for one in profiles:
            host.kind = one.profile.on_host
            built = one.result["build"]
            source = Source.from_options({**built, "flake": "" if one.profile.toplevel else options["flake"]})
            tried = replace(settings.of(built["toplevel"], source), expected_system=one.profile.expected)
            work = self._look if self.check_mode else self._deploy
            one.result |= self.attempt(host, partial(work, host, one, tried))
            if one.result.get("failed"):
                return _together(host, profiles, one)
        return _together(host, profiles)

    def _build(self, host: Host, one: _Deployed, settings: BuildSettings) -> dict[str, Any]:
        host.step(Step.BUILD, f"{one.profile}: is built")
        context = BuildContext(self.check_mode, self.common_file, self.host_of, self.configurations, needs_system=False)
        built, one.looked = build(host, settings, context)
        return {"build": built, "changed": built["changed"]}

    def _deploy(self, host: Host, one: _Deployed, settings: Settings) -> dict[str, Any]:
        host.step(Step.TEST, f"{one.profile}: is to try {settings.toplevel}")
        waiting, result = live_test.try_live(host, settings, self._without_diff(), since_boot=one.looked.get("boot_id"))
        if waiting and waiting.state == State.WINDOW:
            host.step(Step.BOOT, f"{one.profile}: is asked to confirm the new generation, over a new connection")
            result |= confirm(host, waiting, settings)
        changed = one.result["changed"] or result.get("changed", False)
        return {**_of_a_profile(result), "changed": changed}

    def _look(self, host: Host, one: _Deployed, settings: Settings) -> dict[str, Any]:
        """Check mode: what was built, and whether the host would try it."""
        would = {"changed": True, "state": ResultState.WOULD_TEST, "toplevel": settings.toplevel, "deployment": ""}
        if not one.result["build"]["valid"]:
            return would
        before = look_at_profile(host, settings)
        generations = {
            "previous_generation": before.get("previous_boot"),
            "generation": number(before.get("generation")),
        }
        if before.get("unchanged"):
            changed = one.result["changed"]
            return {**would, **generations, "changed": changed, "state": ResultState.UNCHANGED}
        host.tell(f"{one.profile}: would try {settings.toplevel}")
        return {**would, **generations}

    def _without_diff(self) -> Context:
        """Of a profile no diff is shown."""
        return replace(self.context, diff_mode=False)


# What says of a system what it is, says it of a generation by another name.
_RENAMED = {"system": "live", "boot_default": "active_generation", "previous_boot_default": "previous_generation"}
_LEFT_OUT = ("specialisation", "reboot_required", "boot_loader", "boot_loader_default", "previous_system")


def _of_a_profile(result: dict[str, Any]) -> dict[str, Any]:
    """The return values, without those that only a system has."""
    return {_RENAMED.get(name, name): value for name, value in result.items() if name not in _LEFT_OUT}


def _together(host: Host, profiles: list[_Deployed], failed: _Deployed | None = None) -> dict[str, Any]:
    """The result of each profile, and how it ended for the host."""
    states = [one.state for one in profiles]
    last = failed or profiles[-1]
    result = {
        "changed": any(one.result.get("changed") for one in profiles),
        "profiles": [
            {
                **one.profile.facts(),
                **{key: value for key, value in one.result.items() if key not in _OF_THE_WHOLE},
                "state": one.state,
            }
            for one in profiles
        ],
        **{name: last.result[name] for name in _OF_THE_LAST_ONE if name in last.result},
    }
    if failed:
        # Of one that was not begun there is none.
        result |= {"state": failed.state} if failed.state != ResultState.NOT_BEGUN else {}
        stands = [(str(one.profile), one.state) for one in profiles]
        result["msg"] = f"{failed.profile}: {failed.result['msg']}\n{messages.profiles_stand(host.name, stands)}"
    else:
        result["state"] = next((each for each in states if each != ResultState.UNCHANGED), states[0])
    return result
