# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# From tests/tools/return_values.yml, by `python3 -m tools generate`.
"""Return values of the modules: those that have parts, and which field of a result each becomes."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Profile(TypedDict):
    """The profiles of the host that are no NixOS system, in their order, and where each stands."""

    name: str
    """What messages call it, such as `home-manager of alice`."""
    kind: str
    """Its kind, `system-manager`, `home-manager` or `profile`."""
    user: str
    """Its owner."""
    profile: str
    """Its link, as it was asked for."""
    state: str
    """Where it stands, `committed`, `unchanged`, in check mode `would-test`, or how its deployment ended otherwise.
    `not-begun` where nothing was activated, since it, or one before it, has failed before that."""
    build: NotRequired[dict[str, Any]]
    """What `flake_build` returns; once it was built."""
    toplevel: NotRequired[str]
    """The generation that was to be tried; once that was begun."""
    deployment: NotRequired[str]
    """The name of the deployment, as in `deployments.jsonl` of the profile's directory on the host; once it has begun,
    and empty if there was nothing to do."""
    previous_generation: NotRequired[str]
    """The store path that the profile named before; empty where there was none."""
    active_generation: NotRequired[str]
    """The store path that the profile names now; when the deployment has ended."""
    live: NotRequired[str]
    """The store path that was activated last; it differs from what the profile names only where the way back has
    failed."""
    generation: NotRequired[int]
    """The number of the profile's generation."""
    failed_units: NotRequired[list[str]]
    """Units of the host that have failed."""
    notes: NotRequired[list[str]]
    """What else is worth knowing, in sentences."""
    reason: NotRequired[str]
    """One word for why it failed."""


class Would(TypedDict):
    """In check mode, what `switch-to-configuration dry-activate` says it would do with units. A unit that is stopped
    under the old system and started under the new one is in both lists. None where that is not known, since the system
    was not built or would be refused. All is empty where nothing would be activated."""

    stop: list[str]
    """Units that would be stopped."""
    start: list[str]
    """Units that would be started. New ones that a target pulls in are not named by `dry-activate`; in diff mode they
    are in `changes`."""
    restart: list[str]
    """Units that would be restarted."""
    reload: list[str]
    """Units that would be reloaded."""
    keep: list[str]
    """Units that have changed and would run on as they are, since they do not allow a restart."""
    swapoff: list[str]
    """Swap devices that would be taken away."""
    restart_systemd: bool
    """Whether systemd itself would be executed again."""


class FileSystem(TypedDict):
    """The file system of `/nix`."""

    free_bytes: int
    """How much is free."""
    needed_bytes: NotRequired[int]
    """How much a deployment needs."""
    enough: NotRequired[bool]
    """Whether that is enough."""
    path: NotRequired[str]
    """The directory that was looked at."""
    total_bytes: NotRequired[int]
    """Its size."""


class FreeSpace(TypedDict):
    """In check mode, how much space is free. What is needed is what `min_free_space` says, and on `boot` at least as
    much as kernels and initrds take that are not there yet. The boot loader may remove those of older generations
    first."""

    nix: NotRequired[FileSystem | None]
    """The file system of `/nix`."""
    boot: NotRequired[FileSystem | None]
    """The file system of `/boot`, where it is one of its own."""


class Package(TypedDict):
    """The packages that differ between the closures of the two, as `nix store diff-closures` sees them. At most
    1500."""

    name: str
    """Its name."""
    before: list[str]
    """The versions that only the old system has."""
    after: list[str]
    """The versions that only the new system has."""
    size_change_bytes: int
    """How much it has grown; `0` below 8 KiB."""


class ClosureBytes(TypedDict):
    """The sizes of the two closures in bytes."""

    before: int | None
    """That of the old one; None if it is not known."""
    after: int | None
    """That of the new one; None if it is not known."""


class KernelVersions(TypedDict):
    """The versions of the kernel; empty for a system without one."""

    before: str
    """That of the old system."""
    after: str
    """That of the new one. It ends with `built again` where the version is the same and the kernel another."""


class ChangedUnits(TypedDict):
    """Names of units. Drop-ins count."""

    added: list[str]
    """Those that only the new system has."""
    removed: list[str]
    """Those that only the old system has."""
    changed: list[str]
    """Those that are different."""


_Changes = TypedDict("_Changes", {"from": str})


class Changes(_Changes):
    """What changes from the running system."""

    to: str
    """The new system."""
    packages: list[Package]
    """The packages that differ between the closures of the two, as `nix store diff-closures` sees them. At most
    1500."""
    packages_left_out: int
    """How many packages more there are."""
    closure_bytes: ClosureBytes
    """The sizes of the two closures in bytes."""
    kernel: KernelVersions
    """The versions of the kernel; empty for a system without one."""
    units: ChangedUnits
    """Names of units. Drop-ins count."""


class Generation(TypedDict):
    """Every generation of the system profile, oldest first."""

    generation: int
    """Its number."""
    date: str
    """When it was made, ISO 8601 in UTC."""
    system: str
    """The system."""
    kernel_version: str
    """The version of its kernel; empty if it has none."""
    nixos_version: str
    """Its NixOS version."""
    specialisations: list[str]
    """The names of its specialisations."""
    revision: str
    """The revision that it was built from, as the system itself or the record of a deployment says. Empty where neither
    knows, and where nobody has asked for revisions."""


class OpenDeployment(TypedDict):
    """The deployment that is in progress or was left unfinished; None if there is none."""

    deployment: str
    """Its name."""
    state: str
    """Where it stands; `unknown` without root."""
    in_progress: bool
    """Whether its supervisor runs. If not, the next deployment repairs it."""


class Explanation(TypedDict):
    """What is unusual. Empty for a host that runs what it boots, whose boot loader agrees, and on which no deployment
    is open. While a deployment is in progress, only that is told."""

    state: str
    """`deploying`, a deployment is in progress. `deployment-interrupted`, one was left unfinished. `rollback-failed` or
    `commit-failed`, the last one ended so, and the host still is as it left it. `until-reboot`, a system runs until the
    next reboot, as was asked for and confirmed. `tested-not-confirmed`, another system runs that a reboot would end.
    `boot-default-not-live`, the boot default was never activated. `booted-once`, a system runs that `system_reboot` has
    booted once, and that is not the boot default yet. `no-boot-default`, there is no system profile.
    `loader-disagrees`, system profile and boot loader name different systems. `removal-interrupted`,
    `system_generations` was interrupted."""
    text: str
    """What that means, and what to do."""


class Drift(TypedDict):
    """How the system that runs stands to `flake`; None if no flake was given. Compared are the revision from which the
    system, or the record of its deployment, says that it was built, and the content of the flake where there is a
    record of it. A flake that has moved on may well give this host the same system again. Only a deployment in check
    mode tells."""

    state: str
    """`none`, `drifted` or `unknown`."""
    text: str
    """A few words for a table. `no`, `3 behind` or `1 ahead` in commits, `another commit`, `other content`, the other
    configuration, or `unknown`."""
    flake_revision: str
    """The revision of the flake; empty for a tree with changes that are not committed."""
    revision: str
    """The revision that the system was built from; empty if that is unknown."""
    why: str
    """Why it is unknown."""


OF_A_DEPLOYMENT = {
    "toplevel": "new_system",
    "outputs": "outputs",
    "configuration": "configuration",
    "deployment": "deployment",
    "generation": "generation",
    "previous_system": "previous_system",
    "system": "system",
    "boot_loader": "boot_loader",
    "boot_loader_default": "boot_loader_default",
    "reboot_required": "reboot_required",
    "profiles": "profiles",
    "would": "would",
    "reboot_reasons": "reboot_reasons",
    "free_space": "free_space",
    "changes": "changes",
    "decides_by": "decides_by",
    "failed_units": "failed_units",
    "notes": "notes",
    "reason": "reason",
    "bytes_sent": "bytes_sent",
    "nar_hash": "nar_hash",
    "revision": "revision",
    "dirty": "dirty",
    "dirty_revision": "dirty_revision",
}

OF_A_HOST = {
    "current_system": "system",
    "specialisation": "specialisation",
    "booted_system": "booted_system",
    "boot_default": "boot_default",
    "boot_loader": "boot_loader",
    "boot_loader_default": "boot_loader_default",
    "generation": "generation",
    "hostname": "hostname",
    "kernel_version": "kernel_version",
    "nixos_version": "nixos_version",
    "configuration_revision": "revision",
    "boot_default_revision": "boot_default_revision",
    "age": "age",
    "health": "health",
    "failed_units": "failed_units",
    "reboot_required": "reboot_required",
    "reboot_reasons": "reboot_reasons",
    "generations": "generations",
    "free_space": "free_space",
    "deployments": "deployments",
    "open_deployment": "open_deployment",
    "explanations": "explanations",
    "drift": "drift",
    "complete": "complete",
}
