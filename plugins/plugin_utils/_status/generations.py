# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The generations of a host's system profile, as the command `info` answers them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .._host.answer import Answer


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
    revision: str = ""

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
            "revision": self.revision,
            "specialisations": sorted(self.specialisations),
        }


def read(answer: Answer) -> list[Generation]:
    """What info.sh says, oldest first."""
    recorded = dict(text.split(" ", 1) for text in answer.all("recorded_revision"))
    known = dict(text.split(" ", 1) for text in answer.all("generation_revision"))
    found = []
    for text in answer.all("generation_of"):
        first, system, kernel, version, *rest = text.split("\n")
        number, made = first.split(" ")
        specialisations = {}
        for line in rest:
            path, _space, name = line.partition(" ")
            specialisations[name] = path
        revision = known.get(number) or recorded.get(system, "")
        found.append(Generation(int(number), int(made), system, kernel, version, specialisations, revision))
    return sorted(found, key=lambda generation: generation.number)


def specialisation_of(system: str, generations: Iterable[Generation], parent: str) -> tuple[str, str]:
    """The name of the specialisation that a system is, and the system that it belongs to; `parent` before others."""
    if not any(one.system == system for one in generations):
        for one in sorted(generations, key=lambda generation: (generation.system != parent, -generation.number)):
            for name, path in one.specialisations.items():
                if path == system:
                    return name, one.system
    return "", ""
