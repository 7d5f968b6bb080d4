# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fault of the randomised test is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from integration.soak_scene import Scene


@dataclass(frozen=True)
class Fault:
    """Something that happens to a host while it is deployed. It returns when it is over."""

    happen: Callable[[Scene], None]
    way: str = ""
    """The way of deploying that it is for; "" for any."""
    only_good: bool = False
    """Whether whoever does it keeps the system that is tried, so that it has to be a good one."""
    installs: bool = False
    """Whether whoever does it has the boot loader written for that system, so that this has to work."""
    states: tuple[str, ...] = ()
    """When it may begin; any time where there are none."""
