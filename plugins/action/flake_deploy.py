# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploys a flake from the copy to the boot default. See the module's documentation."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils._action import HostAction
from ..plugin_utils._build.elsewhere import build
from ..plugin_utils._build.settings import BuildContext, BuildSettings
from ..plugin_utils._codes import Mode, State, Step
from ..plugin_utils._deployment import boot_default, live_test
from ..plugin_utils._deployment.confirm import confirm, refuse_to_confirm_alone
from ..plugin_utils._deployment.deployment import Deployment
from ..plugin_utils._deployment.settings import Settings, Source
from ..plugin_utils._deployment.start import look_inputs
from ..plugin_utils._deployment.way_in import refuse_unproven_way_in
from ..plugin_utils._host.answer import Answer
from ..plugin_utils._host.connection import Host

_OF_THE_LAST_STEP = ("failed", "msg", "reason", "state", "deployment", "decides_by", "secrets", "diff")


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.flake_deploy`."""

    module = "flake_deploy"
    rules: ClassVar = {"mutually_exclusive": [("flake", "toplevel")], "required_one_of": [("flake", "toplevel")]}

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Do what the modules for each step do, as far as it goes."""
        settings = Settings.from_options(options)
        refuse_to_confirm_alone(settings)
        # Nothing is copied or built for one that cannot be had.
        settings = settings.with_secrets_read()
        if not options["test"]:
            settings.refuse_without_test()
        self._looked = Answer()
        self._begun: Deployment | None = None
        mode = Mode.TEST if options["test"] else Mode.BOOT
        if mode == Mode.TEST:
            refuse_unproven_way_in(host, settings.allow)
        built = self.attempt(host, lambda: self._build(host, options, settings, mode))
        steps = {Step.BUILD: built}
        if not built.get("failed"):
            settings = settings.of(built["toplevel"], Source.from_options({**built, "flake": options["flake"]}))
            if mode == Mode.BOOT:
                steps[Step.BOOT] = self.attempt(host, lambda: self._boot(host, settings))
            else:
                steps[Step.TEST] = self.attempt(host, lambda: self._test(host, settings))
                if settings.confirm and (waiting := self._waiting()):
                    what = "its secrets" if waiting.only_secrets else "the new system"
                    host.step(Step.BOOT, f"is asked to confirm {what}, over a new connection")
                    steps[Step.BOOT] = self.attempt(host, lambda: confirm(host, waiting, settings))
        return _together(steps)

    def _waiting(self) -> Deployment | None:
        """The deployment, if it waits for confirmation."""
        return self._begun if self._begun and self._begun.state == State.WINDOW else None

    def _build(self, host: Host, options: dict[str, Any], settings: Settings, mode: Mode) -> dict[str, Any]:
        context = BuildContext(self.check_mode, self.common_file, self.host_of, self.configurations)
        look = look_inputs(host, settings, mode)
        result, self._looked = build(host, BuildSettings.from_options(options), context, look)
        return result

    def _test(self, host: Host, settings: Settings) -> dict[str, Any]:
        if self._looked.get("unchanged") and not settings.has_secrets:
            return live_test.unchanged(settings, self._looked)
        since_boot = ""
        if not self._looked.get("unchanged"):
            host.step(Step.TEST, f"is to try {settings.toplevel}")
            since_boot = self._looked.get("boot_id")
        self._begun, result = live_test.try_live(host, settings, self.context, since_boot=since_boot)
        return result

    def _boot(self, host: Host, settings: Settings) -> dict[str, Any]:
        # A specialisation is refused without a test, also where there is nothing to do.
        if self._looked.get("unchanged") and not (settings.specialisation or settings.has_secrets):
            return boot_default.unchanged(self._looked)
        host.step(Step.BOOT, f"is to boot {settings.toplevel}")
        return boot_default.make_boot_default(host, settings, self.context)


def _together(steps: dict[Step, dict[str, Any]]) -> dict[str, Any]:
    """The result of each step under its name, and how it ended."""
    result: dict[str, Any] = {"changed": any(step.get("changed") for step in steps.values())}
    for step in steps.values():
        result |= {name: step[name] for name in _OF_THE_LAST_STEP if name in step}
        if "state" in step and "decides_by" not in step:
            result.pop("decides_by", None)
    # What the whole says, its step does not say again.
    return result | {name: {key: value for key, value in step.items() if key != "msg"} for name, step in steps.items()}
