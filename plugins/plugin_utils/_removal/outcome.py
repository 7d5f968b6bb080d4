# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came of a removal of generations, as the host tells it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._codes import Refusal, RemovalResult
from .._deployment.closure_diff import size
from .._host.answer import Answer
from .._host.connection import Host
from .._status.free_space import free_space
from .._status.generations import Generation

_FREED = re.compile(r"(\d+) store paths? deleted, ([\d.]+) ?([KMGTP]?i?B|bytes) freed", re.IGNORECASE)
_UNITS = ("B", "KIB", "MIB", "GIB", "TIB", "PIB")
_TIMED_OUT = 124
"""What the host writes for whatever its limit has ended."""
_KILLED = 137
"""What somebody else has: the host writes what the limit had to kill as what has timed out."""
_LOG_LINES = 10


@dataclass(frozen=True)
class Garbage:
    """What was collected."""

    paths: int
    freed_bytes: int
    """As Nix says, which rounds."""
    measured_bytes: int
    status: int

    @classmethod
    def read(cls, answer: Answer) -> Garbage | None:
        """Read an answer; None where nothing was to be collected."""
        if not answer.get("garbage"):
            return None
        status, before, after = (int(number) for number in answer.get("garbage").split())
        paths, freed_bytes = freed(answer.get("garbage_log"))
        return cls(paths, freed_bytes, (after - before) * 1024, status)

    def as_value(self) -> dict[str, int]:
        """As the module returns it."""
        return {
            "paths": self.paths,
            "freed_bytes": self.freed_bytes,
            "measured_bytes": self.measured_bytes,
            "status": self.status,
        }


def freed(log: str) -> tuple[int, int]:
    """How many store paths and bytes the garbage collector says that it has freed; its words are rounded."""
    found = _FREED.findall(log)
    if not found:
        return 0, 0
    paths, amount, unit = found[-1]
    return int(paths), int(float(amount) * 1024 ** _UNITS.index("B" if unit == "bytes" else unit.upper()))


def ended(answer: Answer) -> tuple[RemovalResult, str]:
    """How a removal ended, and what more there is to say of that."""
    word, _space, more = answer.get("result").partition(" ")
    # Whoever left anything else did not come to its end.
    return RemovalResult(word) if word in list(RemovalResult) else RemovalResult.KILLED, more


def outcome(host: Host, answer: Answer, chosen: Sequence[Generation]) -> dict[str, Any]:
    """The return values; failed where not all of it was done."""
    numbers = {int(number) for number in answer.all("removed")}
    garbage = Garbage.read(answer)
    written = bool(answer.get("boot_written"))
    result: dict[str, Any] = {
        "changed": bool(numbers or written or (garbage and garbage.paths)),
        "removed": [one.as_value() for one in chosen if one.number in numbers],
        "boot_entries_written": written,
        "garbage": garbage and garbage.as_value(),
        "free_space": free_space(answer),
    }
    if problem := _problem(answer, garbage):
        reason, text = problem
        result |= {"failed": True, "reason": str(reason), "msg": f"{host.name}: {text}"}
    elif left := sorted({one.number for one in chosen} - numbers):
        host.warn(f"generations that have come to be needed meanwhile were kept: {', '.join(map(str, left))}")
    return result


def in_words(result: dict[str, Any]) -> str:
    """What was freed, and how much is free now."""
    places = [place for place in result["free_space"].values() if place]
    free = " and ".join(f"{size(place['free_bytes'])} on {place['path']}" for place in places)
    garbage = result["garbage"]
    freed_now = f"freed {size(garbage['freed_bytes'])} in {garbage['paths']} store paths; " if garbage else ""
    return f"{freed_now}there are {free} free now"


def _problem(answer: Answer, garbage: Garbage | None) -> tuple[Refusal, str] | None:
    result, more = ended(answer)
    match result:
        case RemovalResult.BOOT_FAILED:
            return Refusal.BOOT_FAILED, (
                f"the boot loader could not be written (switch-to-configuration boot ended with {more}), so all"
                " generations are there again and no garbage was collected. Look what the boot loader offers before the"
                f" host is rebooted; free some space on the boot partition by hand, and run this again{_tail(answer)}"
            )
        case RemovalResult.SUPERSEDED:
            return Refusal.SUPERSEDED, (
                "somebody else has made another system the boot default meanwhile, so the boot loader was left to them,"
                " all generations are there again and no garbage was collected. Find out who it was, and run this again"
            )
        case RemovalResult.KILLED:
            return Refusal.KILLED, (
                "the removal of generations was ended by somebody before it was done. Nothing that a boot loader entry"
                " needs is gone; run this again, which finishes it"
            )
        case RemovalResult.NO_PROFILE:
            return Refusal.NO_PROFILE, "there is no system profile, so no generation was removed"
        case RemovalResult.NO_GARBAGE_UNIT:
            return Refusal.NO_GARBAGE_UNIT, (
                f"generations were removed, but no garbage could be collected: {answer.get('log').strip()}"
            )
    if garbage and garbage.status:
        why = f"ended with {garbage.status}: {answer.get('garbage_log').strip()}"
        if garbage.status == _TIMED_OUT:
            why = "did not end in time"
        elif garbage.status == _KILLED:
            why = f"was killed (status {garbage.status}; out of memory?)"
        return Refusal.GARBAGE, (
            f"generations were removed, but 'nix-store --gc' {why}; what it had freed by then is free"
        )
    return None


def _tail(answer: Answer) -> str:
    lines = [f"\n  {line}" for line in answer.get("log").splitlines() if line.strip()][-_LOG_LINES:]
    return f"\nIts last lines:{''.join(lines)}" if lines else ""
