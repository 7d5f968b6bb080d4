# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells a deployment that waits for confirmation to roll back now."""

from __future__ import annotations

from typing import Any

from .._codes import WELL, State
from .._host.connection import Host
from .deployment import Deployment, result_of

# What a revocation is meant to end in, or finds done already.
_WELL = (*WELL, State.ROLLED_BACK, State.REFUSED, State.SUPERSEDED, State.INTERRUPTED)
# It can't be revoked yet, and will be as soon as it waits for confirmation.
_BEFORE = (State.CHECKING, State.ACTIVATING, State.SETTLING)


def revoke(host: Host, waiting: Deployment, reason: str) -> dict[str, Any]:
    """Revoke, and follow the deployment to its end, whichever that is."""
    answer = waiting.ask("revoke", reason=reason, awaited=_BEFORE)
    if waiting.state in _BEFORE:
        waiting.follow(answer, lambda state: state not in _BEFORE)
        answer = waiting.ask("revoke", reason=reason, awaited=())
    revoked = bool(answer.get("revoked"))
    answer = waiting.follow(answer)
    result = result_of(host, waiting, answer)
    if waiting.state in WELL and not revoked:
        until = " until the next reboot" if waiting.state == State.UNTIL_REBOOT else ""
        done = "confirmed" if until else "committed"
        host.warn(f"deployment {waiting.id} was {done} before it could be revoked; it stays{until}")
    if waiting.state in _WELL:
        for name in ("failed", "msg", "reason"):
            result.pop(name, None)
    return result | {"changed": revoked, "revoked": revoked}
