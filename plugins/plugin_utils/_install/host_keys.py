# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys by which a new host is known: their public halves, and the file that ssh looks in."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .._codes import Refusal
from .._host.answer import HostError
from .settings import HostKey

_PUBLIC = re.compile(r"((?:ssh|ecdsa|sk)-[a-zA-Z0-9@.-]+ [A-Za-z0-9+/]+={0,3})(?: .*)?")
_LIMIT = 20
"""Seconds for ssh-keygen."""


def public_half(key: HostKey) -> str:
    """The type and the public half of a key, as known_hosts has it; HostError where it is none."""
    # By a pipe: a file may outlive whoever made it.
    command = ["ssh-keygen", "-y", "-P", "", "-f", "/dev/stdin"]
    try:
        done = subprocess.run(command, input=key.content, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"ssh-keygen does not run on the controller: {error}", Refusal.BAD_HOST_KEY) from error
    found = public_keys([done.stdout.strip()])
    if done.returncode or not found:
        raise HostError(
            f"the host key for {key.path} is not a private key of ssh without a passphrase; nothing was done. Make one"
            " with: ssh-keygen -t ed25519 -N '' -f FILE",
            Refusal.BAD_HOST_KEY,
        )
    return found[0]


def public_keys(lines: Iterable[str]) -> list[str]:
    """Type and key of each line that has them, without what is said beside; nothing else of a host reaches a file."""
    return list(dict.fromkeys(found[1] for line in lines if (found := _PUBLIC.fullmatch(line.strip()))))


def write_known_hosts(file: Path, keys: Iterable[str]) -> None:
    """A known_hosts file that is for one host alone, whatever it is called."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as written:
        written.writelines(f"* {key}\n" for key in keys)


def known_hosts_lines(address: str, port: str, keys: Iterable[str]) -> list[str]:
    """The lines for the operator's own known_hosts."""
    name = address if port in ("", "22") else f"[{address}]:{port}"
    return [f"{name} {key}" for key in keys]
