# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where to deploy to: `[user@]host`, an alias of ssh_config, or `nixos://[user@]host[:port][/configuration]`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BRACKETS = re.compile(r"\[(?P<address>[^\]]*)\](?::(?P<port>.*))?")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]*\$?")
_CONFIGURATION = re.compile(r"[^\s/{}]+")


class DestinationError(ValueError):
    """A destination that cannot be understood; the message says why and what would be right."""


@dataclass(frozen=True)
class Destination:
    """One host to deploy to."""

    host: str
    """A name, an alias of ssh_config or an address; IPv6 without brackets."""
    user: str | None = None
    """Who logs in; None leaves it to ssh_config."""
    port: int | None = None
    """None leaves it to ssh_config."""
    configuration: str | None = None
    """The name in the flake's nixosConfigurations; None for the host's own hostname."""

    @property
    def name(self) -> str:
        """What Ansible calls the host. It would take the colons of an IPv6 address for something else."""
        return self.host.replace(":", "-").replace("%", "-")

    @classmethod
    def parse(cls, text: str) -> Destination:
        """Read a destination as it stands on the command line. Raises DestinationError."""
        if not isinstance(text, str):
            raise DestinationError(f"a destination is str or Destination, and not of type {type(text).__name__}")
        url = _URL.fullmatch(text)
        _refuse_a_flake(text)
        if url is None:
            return _plain(text)
        if url["scheme"].lower() != "nixos":
            raise DestinationError(f"{text!r}: the scheme is 'nixos', as in nixos://host/configuration")
        place, _slash, path = url["rest"].partition("/")
        configuration = path.removesuffix("/") or None
        if configuration and not _CONFIGURATION.fullmatch(configuration):
            raise DestinationError(f"{text!r}: {configuration!r} is not the name of a configuration")
        user, at, where = place.rpartition("@")
        if bracketed := _BRACKETS.fullmatch(where):
            host, port = bracketed["address"], bracketed["port"]
            if not _IPV6.fullmatch(host):
                raise DestinationError(f"{text!r}: there is no IPv6 address between the brackets")
        elif where.count(":") > 1:
            raise DestinationError(f"{text!r}: put an IPv6 address in brackets, as in nixos://[2001:db8::1]:22")
        else:
            host, colon, given = where.partition(":")
            port = given if colon else None
        return cls(_host(text, host), _user(text, user if at else None), _port(text, port), configuration)


def _refuse_a_flake(text: str) -> None:
    """As nixos-rebuild and the like have it: the flake and the configuration in one word, in place of a host."""
    flake, mark, name = text.partition("#")
    if mark and flake:
        configuration = name.removeprefix("nixosConfigurations.") or "NAME"
        raise DestinationError(f"{text!r} is a flake, and no host; write nixos://HOST/{configuration} --flake {flake}")
    if text in (".", "..") or text.startswith(("./", "../", "/", "~/")):
        raise DestinationError(f"{text!r} is a directory, and no host; write HOST --flake {text}")
    if re.match(r"(github|gitlab|sourcehut|path|flake|git\+\w+|tarball\+\w+):", text):
        raise DestinationError(f"{text!r} is a flake, and no host; write HOST --flake {text}")


def parse_all(texts: Iterable[str | Destination]) -> list[Destination]:
    """Read several destinations, none of which may name the same host as another. Raises DestinationError."""
    found: dict[str, Destination] = {}
    for text in texts:
        destination = text if isinstance(text, Destination) else Destination.parse(text)
        if destination.name in found:
            raise DestinationError(f"{destination.host!r} is given twice; one deployment moves a host to one system")
        found[destination.name] = destination
    return list(found.values())


def _plain(text: str) -> Destination:
    user, at, host = text.rpartition("@")
    if bracketed := _BRACKETS.fullmatch(host):
        if bracketed["port"] is not None:
            raise DestinationError(f"{text!r}: a port needs the form nixos://{text}")
        host = bracketed["address"]
    elif host.count(":") == 1:
        raise DestinationError(f"{text!r}: a port needs the form nixos://{text}")
    return Destination(_host(text, host), _user(text, user if at else None))


def _host(text: str, host: str) -> str:
    if not host:
        raise DestinationError(f"{text!r}: there is no host in it")
    if not _HOST.fullmatch(host) and not _IPV6.fullmatch(host):
        raise DestinationError(f"{text!r}: {host!r} is neither the name of a host nor an address")
    return host


def _user(text: str, user: str | None) -> str | None:
    if user is not None and not _USER.fullmatch(user):
        raise DestinationError(f"{text!r}: {user!r} is not the name of a user")
    return user


def _port(text: str, port: str | None) -> int | None:
    if port is None:
        return None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise DestinationError(f"{text!r}: {port!r} is not a port")
    return int(port)
