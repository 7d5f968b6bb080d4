# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Confirms a deployment that waits for it, over connections that nobody had before."""

from __future__ import annotations

from typing import Any

from .._codes import Mode, OnRebootRequired, Refusal, ResultState, State
from .._host.answer import HostError
from .._host.connection import Host
from .._host.reboot import reboot_after_commit
from .deployment import Deployment, result_of
from .record import read_record
from .settings import Settings
from .way_in import controller_of, refuse_unproven_way_in


def use_fresh_connection(host: Host, waiting: Deployment, settings: Settings) -> None:
    """From here on speak with the host as somebody who was not there before, and wherever it may answer."""
    refuse_unproven_way_in(host, settings.allow)
    # The way in has to work for them too, not only for a connection that was there before.
    host.use_fresh_connections()
    waiting.addresses = host.addresses(settings.confirm_hosts)


def refuse_to_confirm_alone(settings: Settings) -> None:
    """A host whose fleet commits everywhere or nowhere is not confirmed by the task that tests it."""
    if settings.all_or_nothing and settings.confirm:
        raise HostError(
            "a fleet that commits everywhere or nowhere is confirmed when every host is ready; set 'confirm: false',"
            " and confirm with system_boot",
            Refusal.BAD_OPTION,
        )


def confirm(host: Host, waiting: Deployment, settings: Settings) -> dict[str, Any]:
    """Confirm the deployment of this system, follow it to its end, and reboot where that was chosen."""
    use_fresh_connection(host, waiting, settings)
    within = waiting.limits.confirmed if waiting.limits else None
    inputs: dict[str, Any] = {"meant": settings.toplevel, "from": controller_of(host, settings.allow)}
    answer = waiting.ask("confirm", awaited=(), within=within, **inputs)
    if answer.get("confirmed"):
        # That was it; the rest is only waiting for the end.
        host.use_shared_connection()
        answer = waiting.follow(answer, awaited=())
    else:
        answer = waiting.follow(answer, command="confirm", awaited=(), within=within, **inputs)
    result = result_of(host, waiting, answer)
    was_not_tested = read_record(answer.get("record")).get("mode") == Mode.BOOT
    reboots = settings.on_reboot_required == OnRebootRequired.BOOT_AND_REBOOT
    if was_not_tested and reboots and waiting.state == State.COMMITTED:
        reboot_after_commit(host, settings.toplevel, settings.limits.reboot)
        result |= {"reboot_required": False, "rebooted": True, "system": settings.toplevel}
    return result


def prepare(host: Host, waiting: Deployment, settings: Settings) -> dict[str, Any]:
    """See whether the host could commit, over a fresh connection, and have it wait longer for the confirmation."""
    use_fresh_connection(host, waiting, settings)
    answer = waiting.ask("prepare", within=waiting.limits.prepared if waiting.limits else None)
    result = result_of(host, waiting, answer) | {"changed": False}
    if answer.get("prepared"):
        result |= {"state": ResultState.PREPARED, "decides_by": waiting.decides_by}
    return result
