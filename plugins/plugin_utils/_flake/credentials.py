# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operator may fetch with: access tokens, as Nix has them in nix.conf, and logins of netrc files.

Sources: `access-tokens` and `netrc-file` under "nix.conf" in the Nix manual, and `getAccessToken` in Nix. ssh and git
find the operator's keys and agent by themselves.
"""

from __future__ import annotations

import hashlib
import netrc
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

_INCLUDES = 10
"""So deep may files include each other."""


@dataclass(frozen=True)
class Credentials:
    """What there is on this machine, and what the operator gives for a build."""

    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By host, or host and owner, or these and the repository."""
    logins: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    """Name and password by host."""

    @classmethod
    def read(cls, nix_config: str, environment: Mapping[str, str]) -> Self:
        """Those of this machine; what is given for the build goes first."""
        home = environment.get("HOME") or os.path.expanduser("~")
        config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
        texts = [*_file(Path("/etc/nix/nix.conf")), *_file(Path(config, "nix/nix.conf"))]
        tokens: dict[str, str] = {}
        logins: dict[str, tuple[str, str]] = {}
        # Nix has the first one by default.
        files = ["/etc/nix/netrc", environment.get("NETRC") or f"{home}/.netrc"]
        for name, value in _settings([*texts, environment.get("NIX_CONFIG", ""), nix_config]):
            if name in ("access-tokens", "extra-access-tokens"):
                tokens |= dict(one.split("=", 1) for one in value.split() if "=" in one)
            elif name == "netrc-file":
                files.append(value)
        for file in files:
            logins |= _logins(file)
        return cls(tokens, logins)

    @property
    def key(self) -> str:
        """A name that tells them from others, and tells nothing of them."""
        return hashlib.sha256(repr((sorted(self.tokens.items()), sorted(self.logins.items()))).encode()).hexdigest()[
            :16
        ]

    def token(self, host: str, owner: str, repository: str) -> str:
        """The token for a repository; the one that is meant for the least goes first. "" where there is none."""
        return self.own_token(host, owner, repository) or self.tokens.get(host, "")

    def own_token(self, host: str, owner: str, repository: str) -> str:
        """The same, but none that is for all that the host has."""
        places = (f"{host}/{owner}/{repository}", f"{host}/{owner}")
        return next((self.tokens[place] for place in places if place in self.tokens), "")


def _settings(texts: list[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        for line in text.splitlines():
            name, equals, value = line.partition("#")[0].partition("=")
            if equals:
                yield name.strip(), value.strip()


def _file(path: Path, depth: int = 0) -> Iterator[str]:
    """A nix.conf, and the files that it includes. One that cannot be read has nothing to say here."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        word, _space, rest = line.strip().partition(" ")
        if word in ("include", "!include") and depth < _INCLUDES:
            yield from _file(path.parent / rest.strip(), depth + 1)
    yield text


def _logins(file: str) -> dict[str, tuple[str, str]]:
    try:
        hosts = netrc.netrc(file).hosts
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return {}
    return {host: (login, password or "") for host, (login, _account, password) in hosts.items() if host != "default"}
