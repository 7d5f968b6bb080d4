# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scripts that run on a host, as they are sent: joined, and without what is there for their readers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_SCRIPTS = Path(__file__).parents[1] / "_sh"
_FUNCTION = re.compile(r"^(\w+)\(\) \{(?:.*\}\n|\n(?:.*\n)*?\}\n)", re.MULTILINE)
_WORD = re.compile(r"\w+")
# Up to a single quote that begins something: words, what is in double quotes, a comment at the end.
_UNQUOTED = re.compile(r"""^(?:(?<=\s)\#.*|\\.|"(?:\\.|[^"\\])*"|[^'"\\]|["\\])*""")
_HERE_DOCUMENT = re.compile(r"<<'?(\w+)'?$")


# What each script needs of lib/, beside common.sh.
_NEEDS = {
    "command/build": ("system", "free_space", "snapshots"),
    "command/compare": ("differences",),
    "command/confirm": ("follow",),
    "command/copy_ask": ("snapshots",),
    "command/copy_receive": ("free_space", "snapshots"),
    "command/info": ("boot_loader", "free_space", "trial"),
    "command/look": ("differences", "check_mode", "rollback_target", "system", "trial", "free_space", "busy"),
    "command/poll": ("follow",),
    "command/prepare": ("free_space", "follow"),
    "command/prune": ("free_space",),
    "command/reboot": ("record", "trial"),
    "command/revoke": ("follow",),
    "command/start": ("system", "free_space", "follow", "trial", "busy"),
    "unit/check_mode": ("process", "record", "health", "supervise"),
    "unit/prune": ("process", "boot_loader", "free_space", "trial"),
    "unit/trial": ("process", "record", "directory", "commit", "boot_once", "trial"),
}


def command(name: str, inputs: Mapping[str, str]) -> str:
    """A command as it is sent: its inputs as assignments, what it needs of lib/, and its own text."""
    return f"{assignments(inputs)}\n{join(f'command/{name}')}"


def program(name: str) -> str:
    """A program as a unit on the host runs it: one text, read whole before it acts."""
    return _deployment() if name == "deployment" else join(f"unit/{name}")


@cache
def join(name: str) -> str:
    """A script, after what it uses of common.sh and of what it needs."""
    return _used(["lib/common", *(f"lib/{need}" for need in _NEEDS.get(name, ()))], script(name)) + script(name)


@cache
def _text(name: str) -> str:
    return (_SCRIPTS / f"{name}.sh").read_text(encoding="utf-8")


def _used(libraries: Sequence[str], text: str) -> str:
    """Libraries without the functions whose names are nowhere in the text, nor in functions that stay."""
    parts = {name: part for library in libraries for name, part in _parts(library)[0].items()}
    rest = "".join(_parts(library)[1] for library in libraries)
    names: set[str] = set()
    new = parts.keys() & set(_WORD.findall(text + rest))
    while new:
        names |= new
        new = parts.keys() & {word for name in new for word in _WORD.findall(parts[name])} - names
    return rest + "".join(part for name, part in parts.items() if name in names)


@cache
def _parts(name: str) -> tuple[Mapping[str, str], str]:
    """The functions of a script, as they are sent, and what is outside of them."""
    text = _text(name)
    return {match[1]: bare(match[0]) for match in _FUNCTION.finditer(text)}, bare(_FUNCTION.sub("", text))


@cache
def script(name: str) -> str:
    """One script of _sh/, as it is sent."""
    return bare(_text(name))


def bare(text: str) -> str:
    """A script without what is there for its readers: a third of it, which would go to every host each time."""
    lines = []
    end_of_data = ""
    quoted = False
    for line in text.splitlines():
        stripped = line.strip()
        if end_of_data:
            lines.append(line)
            end_of_data = "" if line == end_of_data else end_of_data
        elif quoted or (stripped and not stripped.startswith("#")):
            lines.append(line if quoted else line.lstrip())
            data = _HERE_DOCUMENT.search(stripped)
            end_of_data = data[1] if data else ""
            quoted = _ends_quoted(line, quoted)
    return "".join(f"{line}\n" for line in lines)


def _ends_quoted(line: str, quoted: bool) -> bool:
    """Whether the next line is within single quotes, as a program for awk is."""
    rest = line
    while True:
        if quoted:
            _inside, end, rest = rest.partition("'")
            if not end:
                return True
        rest = _UNQUOTED.sub("", rest, count=1)
        if not rest:
            return False
        rest, quoted = rest[1:], True


def _deployment() -> str:
    parts = ("process", "record", "directory", "ssh", "health", "boot_loader", "commit", "undo", "repair")
    # All of them, since the undo makes names of functions as it goes.
    text = "".join(script(f"lib/{name}") for name in (*parts, "boot_once", "trial", "supervise", "guard"))
    text += script("unit/deployment")
    return _used(["lib/common"], text) + text


def assignments(values: Mapping[str, str]) -> str:
    """Shell assignments, quoted."""
    return "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
