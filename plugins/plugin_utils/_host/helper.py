# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The helper of a host, `deploy-flake-host`: what it is made of, and what it is sent in place of scripts.

`python3 -m _host.helper DIRECTORY`, with `plugins/plugin_utils` as PYTHONPATH, writes it; so the NixOS module does.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from . import scripts

NAME = "deploy-flake-host"
METHOD = "deploy_flake.nixos.helper"
"""The become plugin."""
COMMAND = (
    f"echo 'the method {METHOD} was not asked to become root, as the login user is root already: set become"
    " (deploy_flake_become) to false' >&2; exit 69"
)
"""What an action asks for where the become plugin is to start the helper; it runs where Ansible asks no plugin."""
BEGUN = f"BECOME-SUCCESS-{NAME}"
"""What the helper says first, whether sudo has asked for a password or not."""

_PROTOCOL = "deploy-flake-1"
_NAMES = frozenset({"id", "name", "step"})
"""Inputs that are part of file names and of units' command lines."""
_RECKONED = re.compile(r"\$\(\((.*?)\)\)")
_ESCAPED = re.compile(rb"[^ -\[\]-~]")


def request(command: str, values: Mapping[str, scripts.Input]) -> bytes:
    """What the helper is sent for a command: which one it is, of which version, and its inputs."""
    scripts.check(command, values)
    lines = b"".join(_encoded(name, value) for name, value in _single(command, values)) + b".\n"
    return f"{_PROTOCOL} {command} {version(command)} {len(lines)}\n".encode() + lines


def _single(command: str, values: Mapping[str, scripts.Input]) -> Iterator[tuple[str, str]]:
    settings = scripts.head(f"command/{command}").settings
    for name, value in values.items():
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Mapping):
            for each, text in scripts.unit_inputs(settings[name], value).items():
                yield f"{name}.{each}", text
        else:
            for word in value:
                yield name, word


def _encoded(name: str, value: str) -> bytes:
    text = value.encode(errors="surrogateescape")
    return b"%s %s\n" % (name.encode(), _ESCAPED.sub(lambda found: b"\\0%03o" % found[0][0], text))


@cache
def version(command: str) -> str:
    """The hash of all that the helper has for a command."""
    return hashlib.sha256(repr(sorted(files(command).items())).encode()).hexdigest()[:32]


@cache
def files(command: str) -> Mapping[str, str]:
    """What the helper has for a command: its script, the programs of units, and what each of its inputs may be."""
    name = f"command/{command}"
    its = scripts.head(name)
    declared = _kinds(name) | dict.fromkeys(its.programs, "program") | dict.fromkeys(its.words, "words")
    for each, unit in its.settings.items():
        declared[each] = "settings"
        declared |= {f"{each}.{one}": kind for one, kind in _kinds(f"unit/{unit}").items()}
    return {
        "script": scripts.join(name),
        "inputs": "".join(f"{each} {kind}\n" for each, kind in declared.items()),
        **{each: scripts.program(unit) for each, unit in its.programs.items()},
    }


def _kinds(name: str) -> dict[str, str]:
    """What the inputs of a script may be: bash runs commands that stand in what it reckons with."""
    reckoned = {word for text in _RECKONED.findall(scripts.join(name)) for word in re.findall(r"\w+", text)}
    return {
        each: "name" if each in _NAMES else "number" if each in reckoned or each.endswith("_limit") else "text"
        for each in scripts.inputs(name)
    }


def write(directory: Path, place: Path) -> None:
    """Write the helper and all that it has to a directory, which is at `place` where it runs."""
    share = f"share/{NAME}"
    for command in scripts.commands():
        at = directory / share / command / version(command)
        at.mkdir(parents=True)
        for name, text in files(command).items():
            (at / name).write_text(text, encoding="utf-8")
    program = directory / "bin" / NAME
    program.parent.mkdir()
    tree = scripts.assignments({"helper_tree": str(place / share)})
    program.write_text(f"#!/bin/sh\n{tree}\n{scripts.join(f'helper/{NAME}')}", encoding="utf-8")
    program.chmod(0o755)


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[-1]))
