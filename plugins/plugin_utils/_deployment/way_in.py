# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a confirmation is worth: it proves a way in only where it comes from another machine."""

from __future__ import annotations

from collections.abc import Collection

from .._codes import Refusal
from .._host.answer import HostError
from .._host.connection import Host
from .._host.own_machine import this_machine

WORD = "unproven_way_in"


def controller_of(host: Host, allow: Collection[str]) -> str:
    """What the host is to compare with itself, to find out that it is the controller; "" where that does not matter.

    Who reaches its own machine by a name or a port that nobody here knows to be its own proves no way in either.
    """
    return "" if WORD in allow or not host.over_ssh or host.goes_elsewhere else this_machine()


def refuse_unproven_way_in(host: Host, allow: Collection[str]) -> None:
    """Refuse to try a system, or to confirm it, over a connection that works although nobody can come in."""
    if WORD in allow or not (why := host.unproven):
        return
    raise HostError(
        f"{host.name}: a system that is tried becomes the boot default when it is confirmed from outside, and {why}, so"
        " one that nobody can reach would be kept. Nothing was changed by this task. Deploy over ssh from another"
        f" machine, or allow '{WORD}' (deploy_flake_allow, --allow) where somebody can always get at the host",
        Refusal.UNPROVEN_WAY_IN,
    )
