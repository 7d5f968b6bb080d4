# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first word where no command is named: a host to deploy to, or a command that was meant."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

_OTHERS = {
    "check": "deploy-flake deploy HOST --check",
    "plan": "deploy-flake deploy HOST --check",
    "dry-run": "deploy-flake deploy HOST --check",
    "dry-activate": "deploy-flake deploy HOST --check",
    "test": "deploy-flake deploy HOST --check",
    "switch": "deploy-flake deploy HOST",
    "apply": "deploy-flake deploy HOST",
    "push": "deploy-flake deploy HOST",
    "update": "deploy-flake deploy HOST",
    "upgrade": "deploy-flake deploy HOST",
    "install": "deploy-flake deploy HOST",
    "boot": "deploy-flake deploy HOST --test skip",
    "info": "deploy-flake status HOST",
    "show": "deploy-flake status HOST",
    "list": "deploy-flake status HOST",
    "undo": "deploy-flake rollback HOST",
    "revert": "deploy-flake rollback HOST",
    "cancel": "deploy-flake revoke HOST",
    "abort": "deploy-flake revoke HOST",
    "help": "deploy-flake --help",
    "version": "deploy-flake --version",
}
"""What the commands of other tools, and what Ansible and NixOS call things, are here."""
_CONFIGS = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))


def refuse_a_command(word: str, commands: Iterable[str], ssh_args: str | None = None) -> None:
    """ValueError where a command was probably meant, and no host is known by that name.

    Whoever mistypes a command must not deploy. A host that is called like one is told with `deploy-flake deploy HOST`.
    """
    if not re.fullmatch(r"[A-Za-z-]+", word):
        # No command has a digit or a dot.
        return
    lower = word.lower()
    commands = list(commands)
    near = get_close_matches(lower, [*commands, *_OTHERS], n=1, cutoff=0.75)
    if not near or (word not in commands and _is_known(word, ssh_args)):
        return
    meant = _OTHERS.get(near[0], f"deploy-flake {near[0]} HOST")
    raise ValueError(
        f"{word!r} is no command, and no host is known by that name; did you mean {meant!r}? A host of that name:"
        f" 'deploy-flake deploy {word}'"
        if word not in commands
        else f"the command comes first: 'deploy-flake {word} …'; a host of that name: 'deploy-flake deploy {word}'"
    )


def _is_known(word: str, ssh_args: str | None) -> bool:
    return word in _aliases() or _leads_elsewhere(word, ssh_args) or _resolves(word)


def _aliases() -> set[str]:
    """The hosts that ssh_config names."""
    return {word for file in _CONFIGS for word in _hosts(file.expanduser(), 0)}


def _hosts(file: Path, depth: int) -> Iterator[str]:
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        if match := re.match(r"\s*(host|include)\s*[\s=]\s*(.*)", line, re.IGNORECASE):
            words = match[2].replace('"', " ").split()
            if match[1].lower() == "host":
                yield from words
            elif depth < 4:
                for pattern in words:
                    path = Path(pattern).expanduser()
                    base = Path("/") if path.is_absolute() else file.parent
                    for included in base.glob(str(path).lstrip("/")):
                        yield from _hosts(included, depth + 1)


def _leads_elsewhere(word: str, ssh_args: str | None) -> bool:
    """Whether ssh has another name for it."""
    try:
        command = ["ssh", *shlex.split(ssh_args or ""), "-G", "--", word]
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False, stdin=subprocess.DEVNULL)
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    names = re.findall(r"^hostname (.*)$", said.stdout, re.MULTILINE)
    return bool(names) and names[0].lower() != word.lower()


def _resolves(word: str) -> bool:
    try:
        return bool(socket.getaddrinfo(word, None))
    except (OSError, UnicodeError):
        return False
