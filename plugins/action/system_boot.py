# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Confirms a tested system and makes it the boot default. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import changes, deployment, foresight, report
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host import Host
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host_action import HostAction
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.reboot import reboot


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_boot`."""

    module = "system_boot"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Confirm the deployment, or start one that has nothing to test; follow it to its end."""
        if options["deployment"]:
            return self._confirm(host, options)
        different = {}
        if self.diff_mode and not self.check_mode:
            different = changes.look(host, options["toplevel"], "boot", options["reconnect_timeout"])
        begun, before, answer = deployment.start(host, options, "boot", self.check_mode, diff=self.diff_mode)
        systems = {"previous_system": before.get("previous_live"), "previous_boot_default": before.get("previous_boot")}
        if before.get("unchanged"):
            generation = report.number(before.get("generation"))
            return {"changed": False, "deployment": "", "state": "unchanged", "generation": generation, **systems}
        if begun is None:
            return systems | changes.result_of(host, before) | foresight.result_of(host, options, before, "boot")
        answer = begun.follow(answer, lambda _state: False)
        return systems | different | deployment.result_of(host, begun, answer)

    def _confirm(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        addresses = [address for address in (*options["confirm_hosts"], host.address) if address]
        waiting = deployment.Deployment(
            host, options["deployment"], options["reconnect_timeout"], addresses if options["confirm_hosts"] else ()
        )
        if self.check_mode:
            return {"changed": True, "deployment": waiting.id, "state": "would-boot"}
        # The way in has to work for somebody who comes anew, not only for a connection that was there before.
        host.use_fresh_connections()
        if options["prepare"]:
            answer = waiting.ask("room", "wait", "prepare")
            result = deployment.result_of(host, waiting, answer)
            return result | {"changed": False} | ({"state": "prepared"} if answer.get("prepared") else {})
        answer = waiting.ask("wait", "confirm", awaited="", meant=options["toplevel"])
        answer = waiting.follow(answer, lambda _state: False, "confirm", meant=options["toplevel"])
        result = deployment.result_of(host, waiting, answer)
        was_not_tested = report.read_record(answer.get("record")).get("mode") == "boot"
        if was_not_tested and waiting.state == "committed" and options["on_reboot_required"] == "boot_and_reboot":
            reboot(host, options["toplevel"], options["limits"]["reboot"])
            result |= {"reboot_required": False, "rebooted": True, "system": options["toplevel"]}
        return result
