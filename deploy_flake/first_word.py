# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first word where no command is named: a host to deploy to, or a command that was meant."""

from __future__ import annotations

import contextlib
import os
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
    "confirm": "deploy-flake deploy HOST",
    "commit": "deploy-flake deploy HOST",
    "activate": "deploy-flake deploy HOST",
    "rebuild": "deploy-flake deploy HOST",
    "rollout": "deploy-flake deploy HOST",
    "dry-build": "deploy-flake build HOST",
    "eval": "deploy-flake build HOST",
    "profile": "deploy-flake profiles HOST --profile KIND",
    "home-manager": "deploy-flake profiles HOST --profile home-manager,user=USER",
    "system-manager": "deploy-flake profiles HOST --profile system-manager",
    "compare": "deploy-flake diff HOST --from GENERATION --to GENERATION",
    "try": "deploy-flake trial HOST",
    "restart": "deploy-flake reboot HOST",
    "history": "deploy-flake status HOST --generations",
    "log": "deploy-flake status HOST",
    "logs": "deploy-flake status HOST",
    "health": "deploy-flake status HOST",
    "drift": "deploy-flake status HOST",
    "list-generations": "deploy-flake status HOST --generations",
    "delete-generations": "deploy-flake generations HOST",
    "prune": "deploy-flake generations HOST",
    "clean": "deploy-flake generations HOST",
    "cleanup": "deploy-flake generations HOST",
    "gc": "deploy-flake generations HOST --collect-garbage",
    "collect-garbage": "deploy-flake generations HOST --collect-garbage",
    "help": "deploy-flake --help",
    "version": "deploy-flake --version",
}
"""What the commands of other tools, and what Ansible and NixOS call things, are here."""
_PLAYBOOK = re.compile(r"deploy_flake\.nixos\.(\w+)", re.IGNORECASE)
_FILE = re.compile(r"(?!.*[@:]).*\.(yml|yaml|ini|cfg|json|toml|nix|lock)", re.IGNORECASE)
_NOBODY = "deploy-flake-asks-for-nobody"
"""No host has this name. What is known of it by patterns and wildcards, is known of every word."""
_CONFIGS = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))


def refuse_a_command(word: str, commands: Iterable[str], ssh_args: str | None = None) -> None:
    """ValueError where a command was probably meant, and no host is known by that name.

    Whoever mistypes a command must not deploy. A host that is called like one is told with `deploy-flake deploy HOST`.
    """
    if playbook := _PLAYBOOK.fullmatch(word):
        name = playbook[1].lower().partition("_by_")[0]
        is_command = name in {*commands}
        raise ValueError(
            f"{word!r} is a playbook, and no host: 'deploy-flake {name if is_command else 'COMMAND'} …' runs what it"
            f" does, or 'ansible-playbook -i INVENTORY {word}'"
        )
    if _FILE.fullmatch(word) and word not in _aliases():
        raise ValueError(
            f"{word!r} is called like a file, and no host is known by that name: an inventory is told with --inventory,"
            " a flake with --flake, a playbook is run by ansible-playbook. A host of that name:"
            f" 'deploy-flake deploy {word}'"
        )
    if not re.fullmatch(r"[A-Za-z-]+", word):
        # No command has a digit or a dot.
        return
    lower = word.lower()
    commands = list(commands)
    # A short word is near to many a host: blog is not log.
    others = [one for one in _OTHERS if len(one) > 4 or one == lower]
    near = get_close_matches(lower, [*commands, *others], n=1, cutoff=0.75)
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
    if word in _aliases():
        return True
    elsewhere, addresses = _leads_to(word, ssh_args), _addresses(word)
    # What a wildcard of ssh_config, or of the name server, makes of every word alike, says nothing of this one.
    if elsewhere != word.lower() and elsewhere != _leads_to(_NOBODY, ssh_args).replace(_NOBODY, word.lower()):
        return True
    return bool(addresses) and addresses != _addresses(_NOBODY)


def _aliases() -> set[str]:
    """The hosts that ssh_config names."""
    return {word for file in _CONFIGS for word in _hosts(Path(os.path.expanduser(file)), 0)}


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
                    for included in _included(file.parent, pattern):
                        yield from _hosts(included, depth + 1)


def _included(directory: Path, pattern: str) -> Iterator[Path]:
    """The files that an Include names; none where it is no pattern, or in the home of nobody."""
    path = Path(os.path.expanduser(pattern))
    with contextlib.suppress(OSError, ValueError, NotImplementedError):
        yield from sorted((Path("/") if path.is_absolute() else directory).glob(str(path).lstrip("/")))


def _leads_to(word: str, ssh_args: str | None) -> str:
    """The name that ssh has for it: the word itself, if no other."""
    try:
        command = ["ssh", *shlex.split(ssh_args or ""), "-G", "--", word]
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False, stdin=subprocess.DEVNULL)
    except (OSError, ValueError, subprocess.SubprocessError):
        return word.lower()
    names = re.findall(r"^hostname (.*)$", said.stdout, re.MULTILINE)
    return str(names[0]).lower() if names else word.lower()


def _addresses(word: str) -> frozenset[str]:
    try:
        return frozenset(str(found[4][0]) for found in socket.getaddrinfo(word, None))
    except (OSError, UnicodeError):
        return frozenset()
