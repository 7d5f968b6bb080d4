# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Goes to an earlier system, with the same steps as any other deployment."""

from __future__ import annotations

from typing import Any

from .._codes import State
from .._host.connection import Host
from .confirm import confirm, refuse_to_confirm_alone
from .context import Context
from .live_test import try_live
from .settings import Settings


def roll_back(host: Host, settings: Settings, context: Context, generation: int | None) -> dict[str, Any]:
    """Try the earlier system live, confirm it unless somebody else does, and follow it to its end."""
    begun, result = try_live(host, settings, context, _target(settings, generation))
    if begun is None or begun.state != State.WINDOW or not settings.confirm:
        return result
    result.pop("decides_by")
    return result | confirm(host, begun, settings.of(result["toplevel"]))


def _target(settings: Settings, generation: int | None) -> str:
    """What the host is to look for; "" where the system itself is given."""
    refuse_to_confirm_alone(settings)
    if settings.toplevel:
        return ""
    return "previous" if generation is None else str(generation)
