# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploys a flake from the copy to the boot default. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._build.build import build
from ..plugin_utils._deployment import boot_default, deployment, live_test
from ..plugin_utils._deployment.confirm import confirm, refuse_to_confirm_alone
from ..plugin_utils._host.answer import Answer
from ..plugin_utils._host.connection import Host

_TAKEN = ("toplevel", "configuration", "revision", "nar_hash")
_LAST = ("failed", "msg", "reason", "state", "deployment", "diff")


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.flake_deploy`."""

    module = "flake_deploy"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Do what the modules for each step do, as far as it goes."""
        refuse_to_confirm_alone(options)
        self._said = Answer()
        self._begun: deployment.Deployment | None = None
        steps = {"build": self.attempt(host, lambda: self._build(host, options))}
        if not steps["build"].get("failed"):
            # For the record on the host.
            options |= {name: steps["build"].get(name) for name in _TAKEN}
            if not options["test"]:
                steps["boot"] = self.attempt(host, lambda: self._boot(host, options))
            else:
                steps["test"] = self.attempt(host, lambda: self._test(host, options))
                if options["confirm"] and (waiting := self._waiting()):
                    host.tell("is asked to confirm it, over a new connection")
                    steps["boot"] = self.attempt(host, lambda: confirm(host, waiting, options["toplevel"], options))
        return _together(steps)

    def _waiting(self) -> deployment.Deployment | None:
        """The deployment, if it waits for confirmation."""
        return self._begun if self._begun and self._begun.state == "window" else None

    def _build(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        look = deployment.look_variables(host, options, "test" if options["test"] else "boot")
        result, self._said = build(host, options | {"reference": None}, self, look)
        return result

    def _test(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        if self._said.get("unchanged"):
            return live_test.unchanged(options, self._said)
        host.tell(f"is to try {options['toplevel']}")
        self._begun, result = live_test.try_live(host, options, self, since_boot=self._said.get("boot_id"))
        return result

    def _boot(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        # A specialisation is refused without a test, also where there is nothing to do.
        if self._said.get("unchanged") and not options["specialisation"]:
            return boot_default.unchanged(self._said)
        host.tell(f"is to boot {options['toplevel']}")
        return boot_default.make_default(host, options, self.check_mode, self.diff_mode)


def _together(steps: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The result of each step under its name, and how it ended."""
    result: dict[str, Any] = {"changed": any(step.get("changed") for step in steps.values())}
    for step in steps.values():
        result |= {name: step[name] for name in _LAST if name in step}
    return result | steps
