# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of what copies and builds."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .._closure.settings import ClosureOptions
from .._codes import CopyInputs, OnOlder, Refusal
from .._flake.local import FLAKE
from .._flake.reference import SYSTEM, is_attribute_path
from .._flake.store_path import is_built
from .._host.answer import HostError
from .._host.connection import Host

# A component of it is no `.` nor `..`: which directory that is may change.
_OUT_LINK = re.compile(r"(?!/nix/store(?:/|$))(?:/(?!\.{1,2}(?:/|$))[^/\0\n]+)+")


@dataclass(frozen=True, kw_only=True)
class CopySettings:
    """What a flake's way to a host is told."""

    flake: str
    """"" where the host has it already, or fetches it itself."""
    copy_timeout: int
    """Seconds for one attempt."""
    reconnect_timeout: int
    allow: tuple[str, ...]
    """What is refused otherwise."""
    copy_inputs: CopyInputs
    nix_config: str
    """Lines in the form of nix.conf for this build alone, and for what the controller fetches for it."""
    file: str = ""
    """What is evaluated below the flake's directory, which need not be a flake then; "" for flake.nix."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read the options of a module."""
        return cls(
            flake=options["flake"] or "",
            copy_timeout=options["copy_timeout"],
            reconnect_timeout=options["reconnect_timeout"],
            allow=tuple(options["allow"]),
            copy_inputs=CopyInputs(options["copy_inputs"]),
            nix_config=options.get("nix_config") or "",
        )


@dataclass(frozen=True, kw_only=True)
class BuildSettings(CopySettings):
    """What a build is told: one of a flake, a reference and a toplevel, and how."""

    reference: str
    """What the host is to build from; "" where that follows from the flake, or nothing is built."""
    toplevel: str
    """A system that was built already."""
    configuration: str
    """"" for the host's name."""
    attribute: str
    """What is built in place of a configuration's system; "" for that."""
    out_link: str
    """Where on the host a link to what was built is to be; "" for nowhere."""
    build_args: tuple[str, ...]
    on_older: OnOlder
    check_builds: bool
    build_timeout: int
    min_free_nix: int
    """MiB that there must be on /nix before the build."""
    build_on: tuple[str, ...] = ()
    """Hosts that build for this one; none where it does so itself."""
    build_together: bool = False
    """Whether each of them builds all systems of the play that are its share at once."""
    closure: ClosureOptions = field(default_factory=ClosureOptions)
    """How what is built elsewhere goes to the host."""

    def __post_init__(self) -> None:
        """HostError where the system is none, whoever names it: to Nix on the host it may be a flake to build."""
        if self.toplevel and not is_built(self.toplevel):
            raise HostError(
                f"toplevel must be the store path of a system, and is {self.toplevel!r}", Refusal.NOT_A_STORE_PATH
            )

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read the options of a module; HostError where they cannot be meant."""
        settings = cls(
            flake=options["flake"] or "",
            copy_timeout=options["copy_timeout"],
            reconnect_timeout=options["reconnect_timeout"],
            allow=tuple(options["allow"]),
            copy_inputs=CopyInputs(options["copy_inputs"]),
            file=os.path.normpath(options["file"]) if options["file"] else "",
            reference=options.get("reference") or "",
            toplevel=options["toplevel"] or "",
            configuration=options["configuration"] or "",
            attribute=options["attribute"] or "",
            out_link=options.get("out_link") or "",
            build_args=tuple(options["build_args"]),
            nix_config=options["nix_config"],
            on_older=OnOlder(options["on_older"]),
            check_builds=options["check_builds"],
            build_timeout=options["build_timeout"],
            min_free_nix=options["min_free_space"]["nix"],
            build_on=named(options["build_on"]),
            build_together=options["build_together"],
            closure=ClosureOptions.from_options(options),
        )
        if wrong := settings._wrong():
            raise HostError(wrong, Refusal.BAD_OPTION)
        return settings

    def _wrong(self) -> str:
        """What cannot be meant, and how to mend it; "" for nothing."""
        if self.toplevel and (self.file or self.attribute):
            given = "file" if self.file else "attribute"
            return (
                f"{given} (deploy_flake_{given}) says what to build, and toplevel (deploy_flake_toplevel) is a system"
                " that was built already; give one of them"
            )
        if self.build_on and self.reference and not self.flake:
            return "build_on is for a flake that the controller brings; give flake in place of reference"
        if self.file and self.reference:
            return "file is a path in the directory that flake names; give flake in place of reference"
        if self.file and self.configuration:
            return (
                "configuration (deploy_flake_configuration) is a name in the nixosConfigurations of a flake, and file"
                f" (deploy_flake_file) is built without one; name what is meant in {self.file} with attribute"
                f" (deploy_flake_attribute), as {self.configuration}.{SYSTEM}"
            )
        if "\0" in self.file or self.file.startswith(("/", "../")) or self.file in (".", ".."):
            return (
                "file (deploy_flake_file) must be the path of a file below the directory that flake names, as"
                f" default.nix, and is {self.file!r}"
            )
        if posixpath.basename(self.file) == FLAKE:
            return (
                f"{self.file} is what a flake is built of: leave out file (deploy_flake_file), and name its directory"
            )
        if self.attribute and not is_attribute_path(self.attribute):
            return (
                "attribute (deploy_flake_attribute) must be names with dots between them, as"
                " packages.x86_64-linux.hello, with quotes around a name that has other characters, and is"
                f" {self.attribute!r}"
            )
        if self.out_link and not _OUT_LINK.fullmatch(self.out_link):
            return (
                "out_link (deploy_flake_out_link) must be the path of a link on the host, from / on and outside of"
                f" /nix/store, as /root/result, and is {self.out_link!r}"
            )
        return ""


def named(hosts: Iterable[Any]) -> tuple[str, ...]:
    """The names in a list, which as a text on a command line may be empty, or have blanks behind its commas."""
    return tuple(name for one in hosts if (name := str(one).strip()))


@dataclass(frozen=True)
class BuildContext:
    """What a build needs of the task that it belongs to."""

    check_mode: bool
    shared_file: Callable[[str], Path]
    """A place for what the processes of all hosts of the task share, by what it is about."""
    host_of: Callable[[str], Host] | None = None
    """Other hosts of the inventory; None where nothing is built elsewhere."""
    configurations: Callable[[], Mapping[str, bool]] = dict
    """Those of all hosts of the play, as far as they are known, and whether each is still needed."""
    needs_system: bool = True
    """Whether what is built has to be a NixOS system."""
    is_deployed: bool = True
    """Whether the host is to have what another one builds; else it stays where it was built."""
