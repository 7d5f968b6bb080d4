# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a system the boot default that is not tried live."""

from __future__ import annotations

from typing import Any

from .._codes import Mode, State
from .._host.answer import Answer
from .._host.connection import Host
from . import check_mode, deployment, diff
from .confirm import confirm
from .context import Context
from .settings import Settings
from .start import Started, start


def make_boot_default(host: Host, settings: Settings, context: Context) -> dict[str, Any]:
    """Start a deployment that has nothing to test, and follow it to its end; the return values."""
    started = start(host, settings, Mode.BOOT, context)
    return started.with_secrets(_result(host, settings, started), context.diff_mode)


def _result(host: Host, settings: Settings, started: Started) -> dict[str, Any]:
    before = started.before
    if before.get("unchanged"):
        return unchanged(before)
    begun = started.deployment
    if begun is None:
        mode = Mode.TEST if before.get("only_secrets") else Mode.BOOT
        return _systems(before) | diff.result_of(host, before) | check_mode.result_of(host, settings, before, mode)
    # Only secrets alone come to that.
    answer = begun.follow(started.answer, lambda state: state == State.WINDOW)
    if begun.state == State.WINDOW:
        return _systems(before) | confirm(host, begun, settings)
    return _systems(before) | begun.changes | deployment.result_of(host, begun, answer)


def unchanged(before: Answer) -> dict[str, Any]:
    """The return values where there is nothing to do, from what the host said of itself."""
    return deployment.unchanged(before) | _systems(before)


def _systems(before: Answer) -> dict[str, Any]:
    return {"previous_system": before.get("previous_live"), "previous_boot_default": before.get("previous_boot")}
