# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reboots a host, or boots a system once. See the module's documentation."""

from __future__ import annotations

import time
from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._deployment.trial import Trial
from ..plugin_utils._flake.store_path import is_store_path
from ..plugin_utils._host import reboot
from ..plugin_utils._host.answer import Answer, HostError
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_reboot`."""

    module = "system_reboot"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Look whether there is something to do, and do it."""
        toplevel = options["toplevel"] or ""
        if toplevel and not is_store_path(toplevel):
            raise HostError(f"toplevel must be a store path, and is {toplevel!r}", "not-a-store-path")
        if options["trial"] and not toplevel:
            raise HostError("a trial needs the option toplevel: which system to boot once", "no-toplevel")
        addresses = [address for address in (*options["confirm_hosts"], host.address) if address]
        options["addresses"] = addresses if options["confirm_hosts"] else []
        before = self._look_in_turn(host, options, toplevel)
        needed_for = before.all("reboot_for")
        result = {
            "rebooted": False,
            "reboot_reasons": needed_for,
            "previous_system": before.get("booted"),
            "changed": False,
            **reboot.facts(before),
        }
        if options["only_if_needed"] and not needed_for:
            host.tell("needs no reboot")
            return result | {"state": "not-needed"}
        if options["trial"]:
            return result | Trial(host, options, before).run(self.check_mode)
        return result | self._reboot(host, options, before)

    def _look_in_turn(self, host: Host, options: dict[str, Any], toplevel: str) -> Answer:
        """Look at the host, and wait for a deployment that is at work on it."""
        ends = time.monotonic() + options["lock_timeout"]
        told = ""
        while (busy := (answer := reboot.look(host, options["reconnect_timeout"], toplevel)).get("unfinished")) and (
            "at work" in busy and time.monotonic() < ends
        ):
            if busy != told:
                host.tell(f"waits up to {options['lock_timeout']} s: {busy}")
                told = busy
            time.sleep(1)
        if busy:
            raise HostError(f"{host.name} is not rebooted: {busy}", "busy", answer)
        return answer

    def _reboot(self, host: Host, options: dict[str, Any], before: Answer) -> dict[str, Any]:
        default = before.get("boot_default")
        expected = options["toplevel"] or default
        if expected != default:
            raise HostError(
                f"{host.name} would boot {default or 'nothing'} and not {expected}; make that the boot default first,"
                " or boot it once with 'trial: true'",
                "not-default",
            )
        if self.check_mode:
            reasons = ", ".join(before.all("reboot_for"))
            host.tell(
                f"would reboot into {expected}{f', needed for {reasons}' if reasons else ', which is not needed'}"
            )
            return {"state": "would-reboot", "changed": True}
        told = time.monotonic()
        answer = reboot.boot(host, before, expected, options["limits"]["reboot"], options["addresses"])
        reboot.require_up(host, answer, options["limits"]["reboot"])
        reboot.require_system(host, answer, expected)
        reboot.require_health(host, answer, options["health_policy"], options["ignore_units"], before)
        host.tell("has rebooted, and is well")
        return {
            "state": "rebooted",
            "rebooted": True,
            "changed": True,
            "elapsed": round(time.monotonic() - told, 1),
            **reboot.facts(answer),
        }
