# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reboots a host for its operator, or has it boot a system once."""

from __future__ import annotations

import time
from typing import Any

from .._codes import Blocked, Refusal, ResultState
from .._flake.store_path import is_store_path
from .._host import reboot
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .context import Context
from .settings import RebootSettings
from .trial import Trial

_PAUSE = 1
"""Seconds between two looks at a host that may not be rebooted yet."""


def reboot_or_try(host: Host, settings: RebootSettings, context: Context) -> dict[str, Any]:
    """Look whether there is something to do, and do it; the return values."""
    if settings.toplevel and not is_store_path(settings.toplevel):
        raise HostError(f"toplevel must be a store path, and is {settings.toplevel!r}", Refusal.NOT_A_STORE_PATH)
    before = _look_when_free(host, settings)
    needed_for = before.all("reboot_for")
    result = {
        "rebooted": False,
        "reboot_reasons": needed_for,
        "previous_system": before.get("booted"),
        "changed": False,
        **reboot.facts(before),
    }
    if settings.only_if_needed and not needed_for:
        host.tell("needs no reboot")
        return result | {"state": ResultState.NOT_NEEDED}
    if settings.trial:
        return result | Trial(host, settings, before).run(context.check_mode)
    return result | _reboot(host, settings, before, context.check_mode)


def _look_when_free(host: Host, settings: RebootSettings) -> Answer:
    """Look at the host, and wait for a deployment that is in progress there."""
    ends = time.monotonic() + settings.lock_timeout
    told = ""
    while True:
        answer = reboot.look(host, settings.reconnect_timeout, settings.toplevel)
        blocked, text = answer.get("blocked"), answer.get("blocked_text")
        if not blocked:
            return answer
        if blocked != Blocked.IN_PROGRESS or time.monotonic() >= ends:
            raise HostError(f"{host.name} is not rebooted: {text}", Refusal.BUSY, answer)
        if text != told:
            host.tell(f"waits up to {settings.lock_timeout} s: {text}")
            told = text
        time.sleep(_PAUSE)


def _reboot(host: Host, settings: RebootSettings, before: Answer, check_mode: bool) -> dict[str, Any]:
    default = before.get("boot_default")
    expected = settings.toplevel or default
    if expected != default:
        raise HostError(
            f"{host.name} would boot {default or 'nothing'} and not {expected}; make that the boot default first,"
            " or boot it once with 'trial: true'",
            Refusal.NOT_DEFAULT,
        )
    if check_mode:
        reasons = ", ".join(before.all("reboot_for"))
        host.tell(f"would reboot into {expected}{f', needed for {reasons}' if reasons else ', which is not needed'}")
        return {"state": ResultState.WOULD_REBOOT, "changed": True}
    limit = settings.limits.reboot
    told = time.monotonic()
    addresses = host.addresses(settings.confirm_hosts)
    answer = reboot.reboot_and_wait(host, before, expected, limit, addresses, settle=settings.limits.watched)
    reboot.require_up(host, answer, limit)
    reboot.require_system(host, answer, expected)
    reboot.require_health(host, answer, settings.health_policy, settings.ignore_units, before)
    host.tell("has rebooted, and no unit has failed")
    return {
        "state": ResultState.REBOOTED,
        "rebooted": True,
        "changed": True,
        "elapsed": round(time.monotonic() - told, 1),
        **reboot.facts(answer),
    }
