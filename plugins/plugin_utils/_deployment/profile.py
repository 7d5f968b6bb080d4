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

from .._build.settings import BuildSettings
from .._codes import ProfileKind, Refusal
from .._host.answer import HostError
from .._host.scripts import Kind
from .settings import store_path

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
    configuration: str
    """The name in the flake; "" for the host's, or the user's on the host."""
    attribute: str
    """What is built of the flake; "" where its kind says it."""
    toplevel: str
    """A generation that was built already."""
    expected: str
    """What the profile has to name before; "" for anything."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read what a task says of one profile; HostError where that cannot be meant."""
        kind = ProfileKind(options["kind"])
        profile = cls(
            kind=kind,
            path=options["profile"] or _PATHS.get(kind, ""),
            user=options["user"] or ("" if kind == ProfileKind.HOME_MANAGER else "root"),
            activate=options["activate"] or "",
            first=bool(options["first"]),
            configuration=options["configuration"] or "",
            attribute=options["attribute"] or "",
            toplevel=options["toplevel"] or "",
            expected=store_path("expected_generation", options["expected_generation"] or ""),
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
        if self.toplevel and (self.attribute or self.configuration):
            return f"{self}: give toplevel, or what to build (attribute, configuration), and not both"
        if self.attribute and self.configuration:
            return f"{self}: give attribute or configuration, and not both"
        if self.kind == ProfileKind.PROFILE and not (self.attribute or self.toplevel):
            return (
                f"{self}: nobody knows which output of the flake it is; name it with attribute, as"
                " packages.x86_64-linux.web"
            )
        return ""

    def __str__(self) -> str:
        """For people: no other profile of a host is called so."""
        if self.kind == ProfileKind.PROFILE:
            return f"profile {self.path}" if self.path[:1] == "/" else f"profile {self.path} of {self.user}"
        of = f" of {self.user}" if self.kind == ProfileKind.HOME_MANAGER else ""
        return f"{self.kind}{of}" if self.path == _PATHS[self.kind] else f"{self.kind}{of} ({self.path})"

    def facts(self) -> dict[str, str]:
        """Return values that say which it is."""
        return {"name": str(self), "kind": self.kind, "user": self.user, "profile": self.path}

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
        """What is built of a flake for a host."""
        if self.kind == ProfileKind.SYSTEM_MANAGER and not self.attribute:
            return f"systemConfigs.{_quoted(self.configuration or host)}"
        if self.kind == ProfileKind.HOME_MANAGER and not self.attribute:
            return f"homeConfigurations.{_quoted(self.configuration or f'{self.user}@{host}')}.activationPackage"
        return self.attribute

    @property
    def _place(self) -> str:
        """A name for files and units, which no other profile of the host has."""
        key = hashlib.sha256(f"{self.user} {self.path}".encode(errors="surrogateescape")).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.path.rpartition("/")[2]).strip("-")[:32]
        return f"{name or 'profile'}-{key}"


def profiles_from(options: Mapping[str, Any]) -> list[Profile]:
    """Those of a task, in their order; HostError where one cannot be meant."""
    if options.get("attribute"):
        raise HostError("attribute: each of profiles has its own", Refusal.BAD_OPTION)
    profiles = [Profile.from_options(one) for one in options["profiles"]]
    for one in profiles:
        if sum(other.on_host.inputs["place"] == one.on_host.inputs["place"] for other in profiles) > 1:
            raise HostError(f"{one} is named twice", Refusal.BAD_OPTION)
        if one.path[:1] == "/" and sum(other.path == one.path for other in profiles) > 1:
            raise HostError(f"{one} is named as the profile of several users", Refusal.BAD_OPTION)
        if not (one.toplevel or options["flake"]):
            raise HostError(f"{one}: give a flake, or its toplevel", Refusal.BAD_OPTION)
    return profiles


def build_settings(profile: Profile, options: Mapping[str, Any], host: str) -> BuildSettings:
    """How it is built, or where it is; HostError where that cannot be meant."""
    attribute = "" if profile.toplevel else profile.attribute_for(options["configuration"] or host)
    more = {"attribute": attribute, "toplevel": profile.toplevel}
    return BuildSettings.from_options({**options, **more, **({"flake": ""} if profile.toplevel else {})})


def _quoted(name: str) -> str:
    """A name as a component of an attribute."""
    return f'"{name}"'
