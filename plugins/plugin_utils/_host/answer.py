# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a script on the host answers, and what it means when it says no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MARKER = "\1deploy-flake\1"


class HostError(Exception):
    """What a script on the host could not do; the message says what and why."""

    def __init__(self, message: str, reason: str = "", answer: Answer | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        """A `Refusal`, or the `Why` of a deployment."""
        self.answer = answer
        self.result: Mapping[str, Any] = {}
        """Return values that are known all the same."""


class HostLostError(HostError):
    """The host was there, and does not answer any more."""


@dataclass
class Answer:
    """What a script answered: named values, in its order."""

    fields: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        """The first value of that name."""
        return next((value for key, value in self.fields if key == name), default)

    def all(self, name: str) -> list[str]:
        """Every value of that name."""
        return [value for key, value in self.fields if key == name]

    @classmethod
    def parse(cls, output: str) -> Answer:
        """Read `name NUL value NUL …` behind the marker; what a login prints before it does not matter."""
        _noise, marker, text = output.partition(MARKER)
        parts = text.split("\0")
        if not marker or len(parts) % 2 == 0 or parts[-1].strip():
            raise ValueError("not an answer")
        return cls(list(zip(parts[0:-1:2], parts[1::2], strict=True)))


def number(text: str) -> int | None:
    """A number that the host wrote, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def lines(text: str) -> list[str]:
    """The lines of a value that hold something."""
    return [line for line in text.splitlines() if line.strip()]
