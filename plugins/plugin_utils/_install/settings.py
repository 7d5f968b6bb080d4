# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a first installation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from .._build.settings import BuildSettings, named
from .._codes import Refusal
from .._flake.reference import SYSTEM, system_of
from .._host.answer import HostError
from .._host.connection import Host

_DISK = re.compile(r"/dev(?:/(?!\.{1,2}(?:/|$))[^/\0\s]+)+")
# Below the new root; nothing in it leads out of that, and it is a word of a line.
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[^/\0\s]+)+")


@dataclass(frozen=True)
class HostKey:
    """A private host key, and where the new system has it."""

    path: str
    content: str

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Read an option; HostError where it is no place for one."""
        path = given["path"]
        if not _PATH.fullmatch(path) or path.endswith(".pub"):
            raise HostError(
                f"the path of a host key must be one from / on, without blanks, and is {path!r}; its public half is"
                " put beside it",
                Refusal.BAD_OPTION,
            )
        # ssh refuses a key whose last line does not end.
        return cls(path, f"{given['content'].strip()}\n")


@dataclass(frozen=True, kw_only=True)
class InstallSettings:
    """What an installation is told."""

    build: BuildSettings
    """Of the system, by its attribute path."""
    disks: tuple[str, ...]
    host_keys: tuple[HostKey, ...]
    installer_user: str
    """"" for the user who logs in to the host otherwise."""
    allow: tuple[str, ...]
    """What is refused otherwise."""
    reboot: bool
    install_timeout: int
    """Seconds for the disks, and for the system."""
    first_boot_timeout: int

    @classmethod
    def from_options(cls, options: Mapping[str, Any], host: Host) -> Self:
        """Read the options of the module; HostError where they cannot be meant."""
        build = BuildSettings.from_options({**options, "toplevel": None, "check_builds": True})
        system = build.attribute or (SYSTEM if build.file else system_of(build.configuration or host.on_behalf_of))
        if system != SYSTEM and not system.endswith(f".{SYSTEM}"):
            raise HostError(
                f"attribute (deploy_flake_attribute) must name a system, so end in {SYSTEM}, and is {system!r}",
                Refusal.BAD_OPTION,
            )
        disks = named(options["disks"])
        if wrong := [one for one in disks if not _DISK.fullmatch(one)]:
            raise HostError(
                "disks (deploy_flake_install_disks) are paths below /dev, best in /dev/disk/by-id, and one is"
                f" {wrong[0]!r}",
                Refusal.BAD_OPTION,
            )
        return cls(
            build=replace(build, attribute=system, configuration=""),
            disks=disks,
            host_keys=tuple(map(HostKey.read, options["host_keys"])),
            installer_user=options["installer_user"] or "",
            allow=tuple(options["allow"]),
            reboot=options["reboot"],
            install_timeout=options["install_timeout"],
            first_boot_timeout=options["first_boot_timeout"],
        )

    def refuse_several_hosts(self, hosts: Sequence[str]) -> None:
        """HostError where a play is for more than one: a variable for all of them may name the disks of one."""
        if len(hosts) > 1 and "several_hosts" not in self.allow:
            raise HostError(
                f"this would erase disks of {len(hosts)} hosts ({' '.join(hosts)}); nothing was done. Install one host"
                " at a time (--limit); or, where each has its own disks in the inventory, allow 'several_hosts'"
                " (deploy_flake_install_allow, --install-allow)",
                Refusal.SEVERAL_HOSTS,
            )

    def beside(self, *names: str) -> BuildSettings:
        """How something else of the same configuration is built."""
        configuration = self.build.attribute.removesuffix(SYSTEM)
        return replace(self.build, attribute=f"{configuration}{'.'.join(names)}")


def one_a_line(texts: Sequence[str]) -> str:
    """A list as the scripts take it."""
    return "\n".join(texts)
