# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of the randomised test: how its seeds have ended, and how many have met what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from integration.soak_choice import BEGINNINGS, LOADERS, WAYS
from integration.soak_faults import FAULTS
from integration.soak_systems import SYSTEMS

OUTCOMES = ("committed", "previous", "superseded", "lost")
# In the order in which they are told.
NAMES = tuple(dict.fromkeys(name for name in (*FAULTS, *SYSTEMS, *BEGINNINGS, *LOADERS, *WAYS) if name))


class Figures:
    """What is counted of each seed."""

    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()
        self.met: Counter[str] = Counter()

    def add(self, outcome: str, met: Iterable[str] = ()) -> None:
        """One seed, and the faults that it has met."""
        self.ended[outcome] += 1
        self.met.update(set(met))

    def lines(self) -> str:
        """All of them: the outcomes, and how many seeds have met each fault, each system and each way."""
        width = max(map(len, NAMES))
        ended = [f"faults: {self.ended.total()}", *(f"{outcome}: {self.ended[outcome]}" for outcome in OUTCOMES)]
        return "\n".join(
            [*ended, "", "met by so many seeds:", *(f"{name:{width}} {self.met[name]:4}" for name in NAMES)]
        )
