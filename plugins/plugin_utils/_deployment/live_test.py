# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries a system live: starts the supervisor, and follows it until it waits for confirmation or has ended."""

from __future__ import annotations

from typing import Any

from .._codes import Mode, ResultState, State
from .._host.answer import Answer, number
from .._host.connection import Host
from . import check_mode, deployment, diff
from .context import Context
from .deployment import Deployment
from .settings import Settings
from .start import start


def try_live(
    host: Host, settings: Settings, context: Context, rollback_to: str | None = None, since_boot: str = ""
) -> tuple[Deployment | None, dict[str, Any]]:
    """The deployment, or None where there is nothing to do, and the return values so far.

    `rollback_to` and `since_boot` are those of start.
    """
    started = start(host, settings, Mode.TEST, context, rollback_to, since_boot)
    before = started.before
    if settings.only_secrets and started.secrets:
        settings = settings.of(started.secrets.current)
    result = _before(settings, before)
    if rollback_to is not None:
        result["generation_from"] = number(before.get("generation_from"))
        result["generation_to"] = number(before.get("generation_to"))
    begun = started.deployment
    if begun is None:
        result["system"] = before.get("previous_live")
        result |= _not_begun(host, settings, before, rollback_to is not None)
        return None, started.with_secrets(result, context.diff_mode)
    answer = begun.follow(started.answer, lambda state: state == State.WINDOW)
    result |= begun.changes | deployment.result_of(host, begun, answer)
    if begun.state == State.WINDOW:
        result["decides_by"] = begun.decides_by
        # One that needs a reboot was not activated.
        untested = answer.get("mode") == Mode.BOOT
        result["system"] = result["previous_system"] if untested else before.get("new_live")
    return begun, started.with_secrets(result, context.diff_mode)


def unchanged(settings: Settings, before: Answer) -> dict[str, Any]:
    """The return values of a test where there is nothing to do, from what the host said of itself."""
    return _before(settings, before) | {"system": before.get("previous_live")} | deployment.unchanged(before)


def _before(settings: Settings, before: Answer) -> dict[str, Any]:
    return {
        "toplevel": before.get("toplevel") or settings.toplevel,
        "specialisation": settings.specialisation,
        "previous_system": before.get("previous_live"),
        "previous_boot_default": before.get("previous_boot"),
    }


def _not_begun(host: Host, settings: Settings, before: Answer, is_rollback: bool) -> dict[str, Any]:
    """There is nothing to do, or this is check mode."""
    if before.get("unchanged"):
        return deployment.unchanged(before)
    would = check_mode.result_of(host, settings, before, Mode.TEST)
    if is_rollback and would["state"] == ResultState.WOULD_TEST:
        would["state"] = ResultState.WOULD_ROLLBACK
    return diff.result_of(host, before) | would
