# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scripts that run on a host, as they are sent: joined, without their comments and indentation."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Self

_SCRIPTS = Path(__file__).parents[1] / "_sh"

# `# needs: NAME …` and `# inputs: NAME …`, or `# inputs where NAME=VALUE: …`, in the comment that a script begins with.
_DECLARED = re.compile(r"# (needs|inputs)(?: where (\w+)(?:=(\w+))?)?: (.*)")


@dataclass(frozen=True)
class Head:
    """What a script says of itself in its first lines."""

    needs: tuple[str, ...]
    """Scripts of lib/ that come before it, with what they need themselves."""
    inputs: Mapping[str, tuple[str, str | None] | None]
    """What it is given, and where it is given that only with some value of another input: which one, and which value.

    Without a value any but the empty one is meant.
    """

    @classmethod
    def read(cls, text: str) -> Self:
        """The head of a script."""
        needs: list[str] = []
        inputs: dict[str, tuple[str, str | None] | None] = {}
        for line in takewhile(lambda line: line.startswith("#"), text.splitlines()):
            if declared := _DECLARED.fullmatch(line):
                what, name, value, words = declared.groups()
                if what == "needs":
                    needs += words.split()
                else:
                    inputs |= dict.fromkeys(words.split(), (name, value) if name else None)
        return cls(tuple(needs), inputs)


@dataclass(frozen=True)
class Kind:
    """What is deployed, and where that is on the host; its parts stand in for those of lib/ with the same names."""

    name: str = ""
    """Of a profile that is no NixOS system; "" for a NixOS system."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """What every script for it is given."""


SYSTEM = Kind()


def command(name: str, inputs: Mapping[str, str], kind: Kind = SYSTEM) -> str:
    """A command as it is sent: its inputs as assignments, what it needs of lib/, and its own text.

    TypeError where it is not given what it declares, or something else.
    """
    values = {**kind.inputs, **inputs}
    _check(f"command/{name}", values, kind.name)
    return f"{assignments(values)}\n{join(f'command/{name}', kind.name)}"


def program(name: str, kind: Kind = SYSTEM) -> str:
    """A program as a unit on the host runs it: one text, read whole before it acts."""
    text = join(f"unit/{name}", kind.name)
    return f"{assignments(kind.inputs)}\n{text}" if kind.inputs else text


def unit_inputs(name: str, values: Mapping[str, str], kind: Kind = SYSTEM) -> str:
    """Of these values what the program of a unit declares as its inputs, as assignments.

    TypeError where one is missing. A command on the host adds facts to them.
    """
    declared = {each for each in inputs(f"unit/{name}", kind.name) if each not in kind.inputs}
    if missing := declared - values.keys():
        raise TypeError(f"unit/{name} is not given {' '.join(sorted(missing))}")
    return assignments({name: value for name, value in values.items() if name in declared})


@cache
def inputs(name: str, kind: str = "") -> Mapping[str, tuple[str, str | None] | None]:
    """The inputs of a script and of what it needs; what it says of one itself goes first."""
    found: dict[str, tuple[str, str | None] | None] = {}
    for one in parts(name, kind):
        found |= head(one).inputs
    return found


def _check(name: str, values: Mapping[str, str], kind: str) -> None:
    declared = inputs(name, kind)
    expected = {
        each
        for each, where in declared.items()
        if where is None or (values.get(where[0]) == where[1] if where[1] else values.get(where[0]))
    }
    if unknown := values.keys() - expected:
        raise TypeError(f"{name} is given {' '.join(sorted(unknown))}, which it does not declare as an input here")
    if missing := expected - values.keys():
        raise TypeError(f"{name} is not given {' '.join(sorted(missing))}")


@cache
def head(name: str) -> Head:
    """What a script says of itself."""
    return Head.read(_text(name))


@cache
def parts(name: str, kind: str = "") -> tuple[str, ...]:
    """The scripts that one is joined of, itself at the end: each once, and after those that it needs."""
    found: list[str] = []

    def add(one: str, above: tuple[str, ...]) -> None:
        for need in head(one).needs:
            part = part_for(need, kind)
            if part not in (*found, *above):
                add(part, (*above, part))
        if one not in found:
            found.append(one)

    add(name, (name,))
    return tuple(found)


def part_for(need: str, kind: str) -> str:
    """What a script gets that needs a part: of a profile's kind one of profile/, where there is one of that name.

    The part `kind` is the kind's own.
    """
    its = f"profile/{need}_{kind}" if need == "kind" else f"profile/{need}"
    return its if kind and (_SCRIPTS / f"{its}.sh").exists() else f"lib/{need}"


@cache
def join(name: str, kind: str = "") -> str:
    """A script, after what it needs."""
    return "".join(script(one) for one in parts(name, kind))


@cache
def script(name: str) -> str:
    """One script of _sh/ as it is sent: without comments and indentation, two fifths of it.

    By whole lines, which needs no knowledge of quoting. `make lint` looks that no text in quotes loses something by it.
    """
    lines = (line.strip() for line in _text(name).splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("#"))


@cache
def _text(name: str) -> str:
    return (_SCRIPTS / f"{name}.sh").read_text(encoding="utf-8")


def assignments(values: Mapping[str, str]) -> str:
    """Shell assignments, quoted."""
    return "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
