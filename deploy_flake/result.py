# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of it, host by host, and the exit code that says it in one number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any


class ExitCode(IntEnum):
    """What `deploy-flake` exits with. Where several hosts ended badly, the first of 1, 4 and 3 that fits."""

    OK = 0
    """Every host was deployed, or had nothing to do."""
    FAILED = 1
    """Some host failed, or nobody knows what became of it."""
    USAGE = 2
    """The command line, or the API's arguments, made no sense; no host was touched."""
    UNREACHABLE = 3
    """Some host could not be reached, and was not touched."""
    ROLLED_BACK = 4
    """Some host tried its new system and went back to the previous one."""
    INTERRUPTED = 130
    """Somebody interrupted it."""


class Outcome(StrEnum):
    """How it ended for one host."""

    DEPLOYED = "deployed"
    """It runs the new system and boots it; after a boot-only deploy it only boots it."""
    UNCHANGED = "unchanged"
    """There was nothing to do."""
    WOULD_CHANGE = "would-change"
    """Check mode: a deploy would change it."""
    ROLLED_BACK = "rolled-back"
    """It tried the new system and runs the previous one again."""
    FAILED = "failed"
    """Something else went wrong; `error` says what, and where the host stands."""
    UNREACHABLE = "unreachable"
    """It could not be reached, and was not touched."""
    INTERRUPTED = "interrupted"
    """Somebody interrupted it before anything of the host's system was changed."""
    UNKNOWN = "unknown"
    """It ended before the host said how it went. What was begun there, the host finishes or undoes by itself."""


_GOOD = (Outcome.DEPLOYED, Outcome.UNCHANGED, Outcome.WOULD_CHANGE)


@dataclass
class HostResult:
    """One host of a deploy, a rollback or a revocation. Store paths are strings, times are in seconds."""

    name: str
    outcome: Outcome = Outcome.UNKNOWN
    state: str = ""
    """The last state of its deployment as the modules say it, such as `committed`, `refused` or `rollback-failed`."""
    configuration: str = ""
    """The name in nixosConfigurations."""
    deployment: str = ""
    """The name of its deployment, as in the host's /var/lib/deploy-flake/deployments.jsonl; "" if none began."""
    previous_system: str = ""
    """The system that ran before."""
    system: str = ""
    """The system that runs now, as far as it is known."""
    new_system: str = ""
    """The system that it was to run."""
    generation: int | None = None
    """The generation that is the boot default."""
    reboot_required: bool = False
    """Whether a reboot is needed before it runs all of the new system."""
    revision: str | None = None
    """The git commit of a clean local flake."""
    bytes_sent: int = 0
    """How much of the flake was sent to it."""
    decides_by: str = ""
    """When it will have gone back by itself if nobody confirms, ISO 8601 in UTC."""
    seconds: float = 0.0
    """From the start until its end."""
    error: str = ""
    """What went wrong, in full; several lines."""
    reason: str = ""
    """One word for it, such as `busy` or `no-space`, where the modules have one."""
    failed_units: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What else the operator should know; also given as warnings."""
    would: dict[str, Any] | None = None
    """Check mode: the units that it would `stop`, `start`, `restart`, `reload` and `keep`, as the module system_test
    says it; None where that is not known."""
    reboot_reasons: list[str] = field(default_factory=list)
    """Why a reboot is needed, or in check mode would be: which of initrd, kernel and kernel-modules are not those that
    were booted, inhibitors; `boot-default` if the boot default does not run."""
    free_space: dict[str, Any] = field(default_factory=dict)
    """Of `nix` and `boot`, or None: `free_bytes`; in check mode also `needed_bytes` and `enough`, for a status `path`
    and `total_bytes`."""
    changes: dict[str, Any] | None = None
    """Diff mode: `packages`, `closure_bytes`, `kernel` and `units`, as the module system_test says it."""

    @property
    def ok(self) -> bool:
        """Whether it is as it was meant to be."""
        return self.outcome in _GOOD


@dataclass
class HostStatus(HostResult):
    """One host as `status` finds it. `system`, `generation` and `failed_units` are as in `HostResult`."""

    hostname: str = ""
    booted_system: str = ""
    boot_default: str = ""
    nixos_version: str = ""
    health: str = ""
    """What `systemctl is-system-running` says."""
    generations: list[dict[str, Any]] = field(default_factory=list)
    """`generation`, `date` and `system` of each, oldest first."""
    deployments: list[dict[str, Any]] = field(default_factory=list)
    """The last deployments as the host recorded them, oldest first; empty without root."""
    open_deployment: dict[str, Any] | None = None
    """`deployment`, `state` and `in_progress` of one that has not ended."""
    specialisation: str = ""
    """The name of the specialisation that runs."""
    boot_loader_default: str = ""
    """The system that the boot loader starts by itself; "" if that can't be told."""
    boot_default_revision: str = ""
    kernel_version: str = ""
    age: int | None = None
    """For how many seconds the system that runs has been a generation."""
    explanations: list[dict[str, str]] = field(default_factory=list)
    """`state` and `text` of what is unusual."""
    drift: dict[str, Any] | None = None
    """`state`, `text`, `flake_revision`, `revision` and `why`: how it stands to the flake that was given."""
    complete: bool = False
    """Whether it was asked as root."""


def exit_code(hosts: Iterable[HostResult], interrupted: bool = False) -> ExitCode:
    """One number for all hosts."""
    outcomes = {host.outcome for host in hosts}
    if interrupted:
        return ExitCode.INTERRUPTED
    if not outcomes or outcomes & {Outcome.FAILED, Outcome.UNKNOWN, Outcome.INTERRUPTED}:
        return ExitCode.FAILED
    if Outcome.ROLLED_BACK in outcomes:
        return ExitCode.ROLLED_BACK
    return ExitCode.UNREACHABLE if Outcome.UNREACHABLE in outcomes else ExitCode.OK
