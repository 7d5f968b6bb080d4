# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of it, host by host, and the exit code that says it in one number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from deploy_flake.returned import Changes, Drift, Explanation, FreeSpace, Generation, OpenDeployment, Profile, Would


class ExitCode(IntEnum):
    """What `deploy-flake` exits with. Where several hosts ended badly, the first of 1, 4 and 3 that fits."""

    OK = 0
    """Every host was deployed, or had nothing to do."""
    FAILED = 1
    """Some host failed, or its outcome is unknown."""
    USAGE = 2
    """Usage error: the command line made no sense, and no host was touched."""
    UNREACHABLE = 3
    """Some host could not be reached, and was not touched; with `allow_unreachable`, only where none could be."""
    ROLLED_BACK = 4
    """Some host tested its new system and rolled back to the previous one."""
    INTERRUPTED = 130
    """Somebody interrupted it."""


class Outcome(StrEnum):
    """How it ended for one host."""

    DEPLOYED = "deployed"
    """It runs the new system and boots it; after a boot-only deploy it only boots it."""
    UNTIL_REBOOT = "until-reboot"
    """It runs the new system until its next reboot, as was asked for, and boots what it booted before."""
    DONE = "done"
    """Its system was built, it was rebooted, or its old generations were removed, whichever was asked for."""
    UNCHANGED = "unchanged"
    """There was nothing to do."""
    WOULD_CHANGE = "would-change"
    """Check mode: a deploy would change it."""
    ROLLED_BACK = "rolled-back"
    """It tested the new system and runs the previous one again."""
    FAILED = "failed"
    """Something else went wrong; `error` says what, and where the host stands."""
    UNREACHABLE = "unreachable"
    """It could not be reached, and was not touched."""
    INTERRUPTED = "interrupted"
    """Somebody interrupted it before anything of the host's system was changed."""
    UNKNOWN = "unknown"
    """Outcome unknown: it ended before the host said how it went. What was begun there, the host finishes or undoes by
    itself."""


class State(StrEnum):
    """The last state of a host's deployment, as the modules say it."""

    NONE = ""
    """No deployment has begun."""
    UNCHANGED = "unchanged"
    """There was nothing to do."""
    WINDOW = "window"
    """The new system runs and waits for confirmation."""
    PREPARED = "prepared"
    """A system that is not tested waits to become the boot default."""
    COMMITTED = "committed"
    """The new system is the boot default."""
    UNTIL_REBOOT = "until-reboot"
    """The new system was confirmed, and runs until the next reboot."""
    ROLLED_BACK = "rolled-back"
    """The previous system runs again."""
    ROLLBACK_FAILED = "rollback-failed"
    """The host could not roll back."""
    COMMIT_FAILED = "commit-failed"
    """The new system could not become the boot default, and it is not certain what boots."""
    REFUSED = "refused"
    """The host refused the new system before anything was changed."""
    SUPERSEDED = "superseded"
    """Another deployment has taken over."""
    INTERRUPTED = "interrupted"
    """It ended before anything was changed."""
    WOULD_TEST = "would-test"
    """Check mode: it would test the new system."""
    WOULD_BOOT = "would-boot"
    """Check mode: it would make the new system the boot default without a test."""
    WOULD_ROLLBACK = "would-rollback"
    """Check mode: it would roll back to the earlier system."""
    WOULD_REVOKE = "would-revoke"
    """Check mode: it would revoke the deployment."""
    WOULD_REFUSE = "would-refuse"
    """Check mode: the host would refuse the new system."""
    UNKNOWN = "unknown"
    """The host could not say, or in a word that is not one of these."""

    @classmethod
    def _missing_(cls, _value: object) -> State:
        # A deployment has to be followed to its end, whatever is said of it.
        return cls.UNKNOWN


class Reason(StrEnum):
    """Reasons beside those of the modules, which are in `HostResult.reason` as well."""

    ANOTHER_HOST_FAILED = "another-host-failed"
    """Every host or none was to be deployed, and the failure is not this host's."""
    NOTHING_WAITS = "nothing-waits"
    """Nothing was there to be revoked."""


GOOD = frozenset((Outcome.DEPLOYED, Outcome.UNTIL_REBOOT, Outcome.DONE, Outcome.UNCHANGED, Outcome.WOULD_CHANGE))
"""How a host ends that is as it was meant to be."""


@dataclass
class HostResult:
    """One host of a deploy, a rollback or a revocation. Store paths are strings, times are in seconds."""

    name: str
    outcome: Outcome = Outcome.UNKNOWN
    state: State = State.NONE
    seconds: float = 0.0
    """From the start until its end."""
    error: str = ""
    """What went wrong, in full; several lines."""
    # From tests/tools/return_values.yml, by `python3 -m tools generate`: HostResult
    new_system: str = ""
    """The system that was to be tested."""
    outputs: dict[str, Any] = field(default_factory=dict)
    """The store paths of what was built, by the names of its outputs, `out` first; empty where it was evaluated and not
    built."""
    configuration: str = ""
    """The name in `nixosConfigurations`; empty for a system that was built already, and where an attribute or a file
    was named."""
    deployment: str = ""
    """The name of the deployment, as in `/var/lib/deploy-flake/deployments.jsonl` on the host; empty if there was
    nothing to do."""
    generation: int | None = None
    """The number of the generation that is the boot default."""
    previous_system: str = ""
    """The system that ran before."""
    system: str = ""
    """The system that runs now, as far as it is known. Of a specialisation it is the store path of its own."""
    boot_loader: str = ""
    """The boot loader whose files the host has, `systemd-boot`, `grub` or `extlinux`; `unknown` where there are no such
    files, where they do not agree, or where what should be mounted is not."""
    boot_loader_default: str = ""
    """The system that the boot loader starts by itself, as its own files say. It is `boot_default` where that was
    committed, but for a system that is wrapped, of which it is the one within. Empty where that cannot be told, for
    which a reason is given. Then it is not proven that the host boots what it should."""
    reboot_required: bool = False
    """Whether the host has to be rebooted before it runs all of the new system."""
    profiles: list[Profile] = field(default_factory=list)
    """The profiles of the host that are no NixOS system, in their order, and where each stands."""
    would: Would | None = None
    """In check mode, what `switch-to-configuration dry-activate` says it would do with units. A unit that is stopped
    under the old system and started under the new one is in both lists. None where that is not known, since the system
    was not built or would be refused. All is empty where nothing would be activated."""
    reboot_reasons: list[str] = field(default_factory=list)
    """In check mode, why a reboot would be needed. `kernel`, `initrd`, `kernel-modules`, `kernel-params`,
    `append-initrd-secrets` (what puts secrets into the initrd), `dtbs` and `devicetree` (device trees) and `xen` (the
    hypervisor) are not those that were booted; `inhibitor NAME` is one of NixOS's switch inhibitors that changes;
    `boot-only` is a system that would not be activated; `status-100`, that `switch-to-configuration` exited 100."""
    free_space: FreeSpace = field(default_factory=FreeSpace)
    """In check mode, how much space is free. What is needed is what `min_free_space` says, and on `boot` at least as
    much as kernels and initrds take that are not there yet. The boot loader may remove those of older generations
    first."""
    changes: Changes | None = None
    """What changes from the running system."""
    decides_by: str = ""
    """When the host will have rolled back at the latest if nobody confirms, ISO 8601 in UTC. Of a host that was lost,
    when it will have decided by itself at the latest, whatever had reached it."""
    failed_units: list[str] = field(default_factory=list)
    """The units that had failed."""
    notes: list[str] = field(default_factory=list)
    """What else the operator should know, such as an earlier deployment that had to be repaired first, or that it could
    not be told what the boot loader starts. Also given as warnings, unless there was nothing to do."""
    reason: str = ""
    """One word for why the task failed. Before a deployment began what was refused, such as `busy`, `build-failed`,
    `other-hostname`, `no-space` or `no-generation`. Of a deployment that did not end as it should, what stopped it,
    such as `units-failed`, `unreachable`, `not-confirmed` or `reboot-required`. In check mode what would, or `unclear`
    where the host could not find that out."""
    bytes_sent: int = 0
    """How many bytes of snapshots were sent to the host; 0 if it had them."""
    nar_hash: str = ""
    """The snapshot's hash, as in a lock file."""
    revision: str | None = None
    """The git commit; None for a dirty tree or without git, such as a tarball."""
    dirty: bool = False
    """Whether tracked files differ from the commit."""
    dirty_revision: str | None = None
    """The commit that is checked out, with `-dirty` behind it, where tracked files differ from it; as Nix's
    `self.dirtyRev`. None otherwise."""
    # Until here.

    @property
    def ok(self) -> bool:
        """Whether it is as it was meant to be."""
        return self.outcome in GOOD


@dataclass
class HostStatus(HostResult):
    """One host as `status` finds it. `system`, `generation` and `failed_units` are as in `HostResult`."""

    # From tests/tools/return_values.yml, by `python3 -m tools generate`: HostStatus
    specialisation: str = ""
    """The name of the specialisation that runs; empty if none does."""
    booted_system: str = ""
    """The system that was booted."""
    boot_default: str = ""
    """The system that would boot, as the system profile says; empty if there is no system profile."""
    hostname: str = ""
    """The name of the host."""
    kernel_version: str = ""
    """The version of the kernel that runs."""
    nixos_version: str = ""
    """The NixOS version of the system that runs."""
    boot_default_revision: str = ""
    """The revision that the boot default was built from; empty if it does not know."""
    age: int | None = None
    """For how many seconds the system that runs has been a generation, by the host's own clock. None if it is none, as
    while it is tested."""
    health: str = ""
    """What `systemctl is-system-running` says."""
    generations: list[Generation] = field(default_factory=list)
    """Every generation of the system profile, oldest first."""
    deployments: list[dict[str, Any]] = field(default_factory=list)
    """The last deployments, oldest first, as the host has recorded them. Empty without root."""
    open_deployment: OpenDeployment | None = None
    """The deployment that is in progress or was left unfinished; None if there is none."""
    explanations: list[Explanation] = field(default_factory=list)
    """What is unusual. Empty for a host that runs what it boots, whose boot loader agrees, and on which no deployment
    is open. While a deployment is in progress, only that is told."""
    drift: Drift | None = None
    """How the system that runs stands to `flake`; None if no flake was given. Compared are the revision from which the
    system, or the record of its deployment, says that it was built, and the content of the flake where there is a
    record of it. A flake that has moved on may well give this host the same system again. Only a deployment in check
    mode tells."""
    complete: bool = False
    """Whether it was asked as root, so that nothing is missing."""
    # Until here.


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
