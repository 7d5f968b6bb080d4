# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles that are no NixOS system: which kinds there are, and what each means on a host and in a flake."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .._codes import ProfileKind, Refusal
from .._host.answer import HostError
from .._host.scripts import Kind

_SYSTEM = "/nix/var/nix/profiles/system"
# No component is `.` or `..`: which directory that is may change.
_PATH = re.compile(r"~?(?:/(?!\.{1,2}(?:/|$))[^/\0\n]+)+")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
_PROGRAM = re.compile(r"(?!\.{1,2}(?:/|$))[^/\0\n]+(?:/(?!\.{1,2}(?:/|$))[^/\0\n]+)*")
_PATHS = {
    ProfileKind.SYSTEM_MANAGER: "/nix/var/nix/profiles/system-manager-profiles/system-manager",
    ProfileKind.HOME_MANAGER: "~/.local/state/nix/profiles/home-manager",
}


@dataclass(frozen=True)
class Profile:
    """One profile of a host."""

    kind: ProfileKind
    path: str
    """Its link; one that begins with `~/` is below its owner's home."""
    user: str
    """Its owner, who activates it."""
    activate: str
    """The program in it that does; "" where its kind says it."""
    first: bool
    """Whether there may be no generation to go back to."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read the options of a module; HostError where they cannot be meant."""
        kind = ProfileKind(options["kind"])
        profile = cls(
            kind=kind,
            path=options["profile"] or _PATHS.get(kind, ""),
            user=options["user"] or ("" if kind == ProfileKind.HOME_MANAGER else "root"),
            activate=options["activate"] or "",
            first=options["first"],
        )
        if wrong := profile._wrong():
            raise HostError(wrong, Refusal.BAD_OPTION)
        return profile

    def _wrong(self) -> str:
        """What cannot be meant, and how to mend it; "" for nothing."""
        if not self.path:
            return f"kind '{self.kind}' has no profile of its own; name it with profile, as /nix/var/nix/profiles/web"
        if not _PATH.fullmatch(self.path):
            return f"profile must be the path of a link, from / on or from ~/ on, and is {self.path!r}"
        if self.path == _SYSTEM:
            return f"{_SYSTEM} is the profile of a NixOS system; deploy that with flake_deploy"
        if not self.user:
            return "kind 'home-manager' needs the user whose home it is; name it with user"
        if not _USER.fullmatch(self.user):
            return f"user must be the name of a user on the host, and is {self.user!r}"
        if self.kind == ProfileKind.SYSTEM_MANAGER and self.user != "root":
            return "kind 'system-manager' writes /etc and is root's; leave user out"
        if self.activate and self.kind != ProfileKind.PROFILE:
            return f"activate is for the kind 'profile'; kind '{self.kind}' has a program of its own"
        if self.activate and not _PROGRAM.fullmatch(self.activate):
            return (
                f"activate must be the path of a program in what was built, as bin/activate, and is {self.activate!r}"
            )
        return ""

    @property
    def on_host(self) -> Kind:
        """What its scripts on a host are told."""
        return Kind(
            self.kind,
            {
                "place": self._place,
                "profile_path": self.path,
                "profile_user": self.user,
                "activate": self.activate,
                "first": "yes" if self.first else "no",
            },
        )

    def attribute_for(self, host: str) -> str:
        """What is built of a flake for a host where nothing else is said; "" where there is no such custom."""
        if self.kind == ProfileKind.SYSTEM_MANAGER:
            return f"systemConfigs.{_quoted(host)}"
        if self.kind == ProfileKind.HOME_MANAGER:
            return f"homeConfigurations.{_quoted(f'{self.user}@{host}')}.activationPackage"
        return ""

    @property
    def _place(self) -> str:
        """A name for files and units, which no other profile of the host has."""
        key = hashlib.sha256(f"{self.user} {self.path}".encode(errors="surrogateescape")).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.path.rpartition("/")[2]).strip("-")[:32]
        return f"{name or 'profile'}-{key}"


def _quoted(name: str) -> str:
    """A name as a component of an attribute."""
    return f'"{name}"'
