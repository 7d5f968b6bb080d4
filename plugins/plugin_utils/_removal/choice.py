# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which generations go, and why the others stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .._host.answer import Answer
from .._status.generations import Generation

DAY = 86400


class Kept(StrEnum):
    """Why a generation stays."""

    OPEN_DEPLOYMENT = "open deployment"
    TRIAL = "trial"
    BOOTED = "booted"
    CURRENT = "current"
    BOOT_DEFAULT = "boot default"
    NEWEST = "newest"
    YOUNG = "young"
    NOT_ASKED_FOR = "not asked for"


@dataclass(frozen=True)
class Choice:
    """Which generations go, and why each of the others stays."""

    removed: tuple[Generation, ...]
    kept: tuple[tuple[Generation, tuple[Kept, ...]], ...]

    def kept_as_value(self) -> list[dict[str, Any]]:
        """As the module returns it."""
        return [{"generation": one.number, "why": [str(why) for why in reasons]} for one, reasons in self.kept]

    def in_words(self, check_mode: bool) -> str:
        """For a line of progress."""
        gone = ", ".join(str(one.number) for one in self.removed)
        stay = ", ".join(f"{one.number} ({', '.join(why)})" for one, why in self.kept)
        return f"{'would remove' if check_mode else 'removes'} generations {gone}; keeps {stay or 'none'}"


def choose(
    generations: Sequence[Generation],
    protected: Mapping[str, Kept],
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
        why += [Kept.BOOT_DEFAULT] if one.number == current else []
        why += [Kept.NEWEST] if one.number in newest else []
        why += [Kept.YOUNG] if keep_days is not None and now - one.made < keep_days * DAY else []
        why += [Kept.NOT_ASKED_FOR] if keep is None and keep_days is None else []
        if why:
            kept.append((one, tuple(dict.fromkeys(why))))
        else:
            removed.append(one)
    return Choice(tuple(removed), tuple(kept))


def protected(answer: Answer) -> dict[str, Kept]:
    """Systems that stay whatever is asked for, from what the command `info` answers."""
    found = {system: Kept.OPEN_DEPLOYMENT for system in answer.all("open_system") if system}
    if answer.get("trial_in_progress"):
        found[answer.get("trial")] = Kept.TRIAL
    for name, why in (("booted", Kept.BOOTED), ("current", Kept.CURRENT), ("boot_default", Kept.BOOT_DEFAULT)):
        if answer.get(name):
            found[answer.get(name)] = why
    return found
