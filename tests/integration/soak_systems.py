# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systems that the randomised test deploys: configurations of the example flake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Those that are well, each as often as it is dealt.
GOOD = (
    *("",) * 12,
    "new-units",
    "new-units",
    "safe-checks",
    "new-kernel",
    "listens",
    "joined",
    "wrapped",
    "wrapped-slow",
)


@dataclass(frozen=True)
class System:
    """A configuration of the example flake."""

    limits: Mapping[str, int] = field(default_factory=dict)
    """Time limits that it needs."""
    fails_when_told: bool = False
    """Whether its unit fails when somebody says so, which is done while it waits for confirmation."""
    runs_before: str = ""
    """A configuration that the host runs before, of which this one is made."""
    fills_run: bool = False
    """Whether it fills /run, until somebody tidies up."""


# Those that are not: a fault each.
BAD: dict[str, System] = {
    # The activation.
    "exit-1": System(),
    "exit-1-late": System(),
    "exit-2": System(),
    "exit-4": System(),
    "hangs": System(),
    "hangs-ignoring-term": System(),
    "hangs-orphan": System(),
    "start-hangs": System(),
    "user-activation-fails": System(),
    "check-refuses-way-back": System(),
    # Units that fail later, once or again and again.
    "dies-later": System({"settle": 4}),
    "fails-late": System(fails_when_told=True),
    "loops-late": System(fails_when_told=True),
    "loops": System({"settle": 4}),
    "loops-slowly": System({"settle": 4}),
    # Emergency mode, and what is near it.
    "mount-fails": System(),
    "mount-fails-device": System(),
    "mount-fails-late": System({"settle": 4}),
    "mount-fails-unneeded": System(),
    "mount-changes": System(),
    "filters-closed-mount-fails": System(runs_before="filters"),
    "swap-fails": System(),
    "sysinit-fails": System(),
    "network-online-hangs": System(),
    # The way in.
    "firewall": System(),
    "firewall-iptables": System(),
    "gate": System(),
    "filters-closed": System(runs_before="filters"),
    "filters-triggers-closed": System(runs_before="filters-triggers"),
    "listens-elsewhere": System(),
    "joined-firewall": System(),
    "wrapped-firewall": System(),
    "sshd-broken-config": System(),
    "breaks-sshd": System(),
    "breaks-sshd-mount-fails": System(),
    # What a way back leans on.
    "broken-dbus": System(),
    "broken-logind": System(),
    "broken-timeout": System(),
    "broken-path": System(),
    # Output without end, or that is no text.
    "prints-much": System(),
    "prints-for-ever": System(),
    "unit-prints-much": System(),
    "unit-prints-for-ever": System(),
    "prints-bytes": System(),
    "fills-run": System(fills_run=True),
    # The boot loader.
    "boot-fails": System(),
    "boot-fails-after-write": System(),
    "boot-idle": System(),
    "boot-half": System(),
}
SYSTEMS = {**dict.fromkeys(GOOD, System()), **BAD}
