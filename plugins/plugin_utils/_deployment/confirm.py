# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Confirms a deployment that waits for it, over connections that nobody had before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._host.answer import HostError
from .._host.connection import Host
from .._host.reboot import reboot
from . import messages as report
from .deployment import Deployment, result_of


def come_anew(host: Host, waiting: Deployment, options: Mapping[str, Any]) -> None:
    """From here on speak with the host as somebody who was not there before, and wherever it may answer."""
    # The way in has to work for them too, not only for a connection that was there before.
    host.use_fresh_connections()
    if others := options["confirm_hosts"]:
        waiting.addresses = [address for address in (*others, host.address) if address]


def refuse_to_confirm_alone(options: Mapping[str, Any]) -> None:
    """A host whose fleet commits everywhere or nowhere is not confirmed by the task that tests it."""
    if options["all_or_nothing"] and options["confirm"]:
        raise HostError(
            "a fleet that commits everywhere or nowhere is confirmed when every host is ready; set 'confirm: false',"
            " and confirm with system_boot",
            "bad-option",
        )


def confirm(host: Host, waiting: Deployment, toplevel: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Confirm the deployment of this system, follow it to its end, and reboot where that was chosen."""
    come_anew(host, waiting, options)
    answer = waiting.ask("confirm", awaited="", meant=toplevel)
    if answer.get("confirmed"):
        # That was it; the rest is only waiting for the end.
        host.use_shared_connection()
        answer = waiting.follow(answer, lambda _state: False, awaited="")
    else:
        answer = waiting.follow(answer, lambda _state: False, "confirm", awaited="", meant=toplevel)
    result = result_of(host, waiting, answer)
    was_not_tested = report.read_record(answer.get("record")).get("mode") == "boot"
    if was_not_tested and waiting.state == "committed" and options["on_reboot_required"] == "boot_and_reboot":
        reboot(host, toplevel, options["limits"]["reboot"])
        result |= {"reboot_required": False, "rebooted": True, "system": toplevel}
    return result
