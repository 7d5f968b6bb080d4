# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens, as it happens. Each is handed to the `on_event` callback, and is a line of `--instrumentation json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from deploy_flake.result import ExitCode, HostResult, HostStatus


class Operation(StrEnum):
    """What a run does; the playbook of that name does it."""

    DEPLOY = "deploy"
    STATUS = "status"
    ROLLBACK = "rollback"
    REVOKE = "revoke"
    TRIAL = "trial"
    BUILD = "build"
    INSTALL = "install"
    REBOOT = "reboot"
    GENERATIONS = "generations"
    DIFF = "diff"
    PROFILES = "profiles"


class Phase(StrEnum):
    """What a host does now."""

    WAITING = ""
    """Nothing yet."""
    ASKING = "asking"
    """It tells the name of its configuration."""
    LOOKING = "looking"
    """It tells what it runs."""
    BUILDING = "building"
    TESTING = "testing"
    CHECKING = "checking"
    """The checks from outside are run against it."""
    CONFIRMING = "confirming"
    REVOKING = "revoking"
    REBOOTING = "rebooting"
    REMOVING = "removing"
    """Old generations are removed."""
    INSTALLING = "installing"
    """Its disks are erased, and it gets its first system."""
    WORKING = "working"
    """A task that is not one of the collection's, such as a check of the operator's."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something happened."""

    event: ClassVar[str] = ""
    time: Annotated[str, "date-time"] = field(default_factory=_now)
    """ISO 8601 in UTC."""

    def as_json(self) -> dict[str, Any]:
        """The event as events.schema.json describes it."""
        return {"event": self.event, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """It begins."""

    event = "started"
    operation: Operation
    hosts: tuple[str, ...]
    """Those that are known by now: none for an inventory."""
    flake: str | None = None


@dataclass(frozen=True, kw_only=True)
class Entered(Event):
    """A host has entered another phase."""

    event = "phase"
    host: str
    phase: Phase


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """A host tells what it is doing. It may be one of `build_on`, which is none of the run's."""

    event = "progress"
    host: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something the operator should know."""

    event = "warning"
    text: str
    host: str | None = None
    """None where it is not about one."""


@dataclass(frozen=True, kw_only=True)
class Result(Event):
    """A host has ended."""

    event = "result"
    result: HostResult | HostStatus

    def as_json(self) -> dict[str, Any]:
        """The result's own values beside `host`."""
        values = asdict(self.result)
        return {"event": self.event, "time": self.time, "host": values.pop("name"), **values}


@dataclass(frozen=True, kw_only=True)
class Ended(Event):
    """It is over."""

    event = "ended"
    exit_code: ExitCode
    outcomes: Mapping[str, int]
    """How many hosts ended how."""
    seconds: float
    error: str = ""
    """What went wrong beside the hosts, such as a killed ansible-playbook."""
