# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The generations of a host's system profile, as info.sh tells them, and which of them may go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .._host.answer import Answer

DAY = 86400
_FREED = re.compile(r"(\d+) store paths? deleted, ([\d.]+) ?([KMGTP]?i?B|bytes) freed", re.IGNORECASE)
_UNITS = ("B", "KIB", "MIB", "GIB", "TIB", "PIB")


@dataclass(frozen=True)
class Generation:
    """One generation of the system profile."""

    number: int
    made: int
    """Seconds since 1970."""
    system: str
    kernel: str = ""
    nixos_version: str = ""
    specialisations: Mapping[str, str] = field(default_factory=dict)
    """Their systems by their names."""

    @property
    def date(self) -> str:
        """When it was made, ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.made, UTC).isoformat()

    @property
    def systems(self) -> tuple[str, ...]:
        """Every system that goes with it."""
        return (self.system, *self.specialisations.values())

    def as_value(self) -> dict[str, Any]:
        """As the modules return it."""
        return {
            "generation": self.number,
            "date": self.date,
            "system": self.system,
            "kernel_version": self.kernel,
            "nixos_version": self.nixos_version,
            "specialisations": sorted(self.specialisations),
        }


def read(answer: Answer) -> list[Generation]:
    """What info.sh says, oldest first."""
    found = []
    for text in answer.all("generation_of"):
        first, system, kernel, version, *rest = text.split("\n")
        number, made = first.split(" ")
        specialisations = {}
        for line in rest:
            path, _space, name = line.partition(" ")
            specialisations[name] = path
        found.append(Generation(int(number), int(made), system, kernel, version, specialisations))
    return sorted(found, key=lambda generation: generation.number)


def specialisation_of(system: str, generations: Iterable[Generation], parent: str) -> tuple[str, str]:
    """The name of the specialisation that a system is, and the system that it belongs to; `parent` before others."""
    if not any(one.system == system for one in generations):
        for one in sorted(generations, key=lambda generation: (generation.system != parent, -generation.number)):
            for name, path in one.specialisations.items():
                if path == system:
                    return name, one.system
    return "", ""


@dataclass(frozen=True)
class Choice:
    """Which generations go, and why each of the others stays."""

    removed: tuple[Generation, ...]
    kept: tuple[tuple[Generation, tuple[str, ...]], ...]


def choose(
    generations: Sequence[Generation],
    protected: Mapping[str, str],
    current: int | None,
    now: int,
    keep: int | None,
    keep_days: int | None,
) -> Choice:
    """Choose those that go: beyond the newest `keep`, and older than `keep_days` days.

    `protected` says of systems why they stay; a specialisation's parent stays with it. `current` is the profile's
    generation.
    """
    newest = {one.number for one in generations[max(0, len(generations) - (keep or 0)) :]}
    removed, kept = [], []
    for one in generations:
        why = [protected[system] for system in one.systems if system in protected]
        why += ["boot default"] if one.number == current else []
        why += ["newest"] if one.number in newest else []
        why += ["young"] if keep_days is not None and now - one.made < keep_days * DAY else []
        why += ["not asked for"] if keep is None and keep_days is None else []
        if why:
            kept.append((one, tuple(dict.fromkeys(why))))
        else:
            removed.append(one)
    return Choice(tuple(removed), tuple(kept))


def freed(log: str) -> tuple[int, int]:
    """How many store paths and bytes the garbage collector says that it has freed; its words are rounded."""
    found = _FREED.findall(log)
    if not found:
        return 0, 0
    paths, amount, unit = found[-1]
    return int(paths), int(float(amount) * 1024 ** _UNITS.index("B" if unit == "bytes" else unit.upper()))
