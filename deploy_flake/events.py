# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens, as it happens. Each is handed to the `on_event` callback, and is a line of `--instrumentation json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from deploy_flake.result import HostResult


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something happened."""

    event: ClassVar[str] = ""
    time: str = field(default_factory=_now)
    """ISO 8601 in UTC."""

    def as_json(self) -> dict[str, Any]:
        """The event as events.schema.json describes it."""
        return {"event": self.event, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """It begins. `hosts` are those that are known by now: none for an inventory."""

    event = "started"
    operation: str
    """deploy, status, rollback or revoke."""
    hosts: tuple[str, ...]
    flake: str | None = None


@dataclass(frozen=True, kw_only=True)
class Phase(Event):
    """A host has entered another phase."""

    event = "phase"
    host: str
    phase: str
    """asking, building, testing, checking, confirming, revoking, looking or working."""


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """A host tells what it is doing."""

    event = "progress"
    host: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something the operator should know; `host` is None where it is not about one."""

    event = "warning"
    text: str
    host: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result(Event):
    """A host has ended."""

    event = "result"
    result: HostResult

    def as_json(self) -> dict[str, Any]:
        """The result's own values beside `host`."""
        values = asdict(self.result)
        return {"event": self.event, "time": self.time, "host": values.pop("name"), **values}


@dataclass(frozen=True, kw_only=True)
class Ended(Event):
    """It is over."""

    event = "ended"
    exit_code: int
    outcomes: Mapping[str, int]
    """How many hosts ended how."""
    seconds: float
    error: str = ""
    """What went wrong beside the hosts, such as a killed ansible-playbook."""
