# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a system the boot default that is not tried live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._host.answer import Answer
from .._host.connection import Host
from . import check_mode as foresight
from . import deployment
from . import diff as changes


def make_default(host: Host, options: Mapping[str, Any], check_mode: bool, diff_mode: bool) -> dict[str, Any]:
    """Start a deployment that has nothing to test, and follow it to its end; the return values."""
    begun, before, answer = deployment.start(host, options, "boot", check_mode, diff=diff_mode)
    if before.get("unchanged"):
        return unchanged(before)
    if begun is None:
        return _systems(before) | changes.result_of(host, before) | foresight.result_of(host, options, before, "boot")
    answer = begun.follow(answer, lambda _state: False)
    return _systems(before) | begun.changes | deployment.result_of(host, begun, answer)


def unchanged(before: Answer) -> dict[str, Any]:
    """The return values where there is nothing to do, from what the host said of itself."""
    return deployment.unchanged(before) | _systems(before)


def _systems(before: Answer) -> dict[str, Any]:
    return {"previous_system": before.get("previous_live"), "previous_boot_default": before.get("previous_boot")}
