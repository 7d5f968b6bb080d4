# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scripts that run on a host, as they are sent: joined, without their comments and indentation."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Self

_SCRIPTS = Path(__file__).parents[1] / "_sh"

# `# needs: NAME …` and `# inputs: NAME …`, or `# inputs where NAME=VALUE: …`, in the comment that a script begins with;
# and which of its inputs are no text: `# programs of units: NAME=UNIT …`, `# settings of units: NAME=UNIT …` and
# `# words: NAME …`.
_DECLARED = re.compile(r"# (needs|inputs|programs of units|settings of units|words)(?: where (\w+)(?:=(\w+))?)?: (.*)")

Input = str | Sequence[str] | Mapping[str, str]
"""A text; the words of a command line; or settings of a unit, of which it takes what its program declares."""


@dataclass(frozen=True)
class Head:
    """What a script says of itself in its first lines."""

    needs: tuple[str, ...]
    """Scripts of lib/ that come before it, with what they need themselves."""
    inputs: Mapping[str, tuple[str, str | None] | None]
    """What it is given, and where it is given that only with some value of another input: which one, and which value.

    Without a value any but the empty one is meant.
    """
    programs: Mapping[str, str]
    """Inputs that are the program of a unit, and of which one. Nobody gives them: they come with the command."""
    settings: Mapping[str, str]
    """Inputs that are what the program of a unit has to know, as assignments, and of which one."""
    words: tuple[str, ...]
    """Inputs that are words of a command line, quoted."""

    @classmethod
    def read(cls, text: str) -> Self:
        """The head of a script."""
        needs: list[str] = []
        inputs: dict[str, tuple[str, str | None] | None] = {}
        programs: dict[str, str] = {}
        settings: dict[str, str] = {}
        quoted: list[str] = []
        for line in takewhile(lambda line: line.startswith("#"), text.splitlines()):
            if declared := _DECLARED.fullmatch(line):
                what, name, value, words = declared.groups()
                if what == "needs":
                    needs += words.split()
                elif what == "inputs":
                    inputs |= dict.fromkeys(words.split(), (name, value) if name else None)
                elif what == "words":
                    quoted += words.split()
                else:
                    of_units = programs if what == "programs of units" else settings
                    of_units |= dict(word.split("=") for word in words.split())
        return cls(tuple(needs), inputs, programs, settings, tuple(quoted))


@dataclass(frozen=True)
class Kind:
    """What is deployed, and where that is on the host; its parts stand in for those of lib/ with the same names."""

    name: str = ""
    """Of a profile that is no NixOS system; "" for a NixOS system."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """What every script for it is given."""


SYSTEM = Kind()


def command(name: str, given: Mapping[str, Input], kind: Kind = SYSTEM) -> str:
    """A command as it is sent: its inputs as assignments, what it needs of lib/, and its own text.

    TypeError where it is not given what it declares, or something else.
    """
    return f"{assignments(as_text(name, given, kind))}\n{join(f'command/{name}', kind.name)}"


def as_text(name: str, given: Mapping[str, Input], kind: Kind = SYSTEM) -> dict[str, str]:
    """The variables of a command: what it is given, and the programs of units that come with it."""
    values: dict[str, Input] = {**kind.inputs, **given}
    check(name, values, kind.name)
    its = head(f"command/{name}")
    expected = _expected(f"command/{name}", values, kind.name)
    texts = {each: program(unit, kind) for each, unit in its.programs.items() if each in expected}
    for each, value in values.items():
        if isinstance(value, Mapping):
            texts[each] = assignments(unit_inputs(its.settings[each], value, kind))
        else:
            texts[each] = value if isinstance(value, str) else shlex.join(value)
    return texts


def commands() -> list[str]:
    """The names of all commands."""
    return sorted(path.stem for path in (_SCRIPTS / "command").glob("*.sh"))


def program(name: str, kind: Kind = SYSTEM) -> str:
    """A program as a unit on the host runs it: one text, read whole before it acts."""
    text = join(f"unit/{name}", kind.name)
    return f"{assignments(kind.inputs)}\n{text}" if kind.inputs else text


def unit_inputs(name: str, values: Mapping[str, str], kind: Kind = SYSTEM) -> dict[str, str]:
    """Of these values what the program of a unit declares as its inputs.

    TypeError where one is missing. A command on the host adds facts to them.
    """
    declared = {each for each in inputs(f"unit/{name}", kind.name) if each not in kind.inputs}
    if missing := declared - values.keys():
        raise TypeError(f"unit/{name} is not given {' '.join(sorted(missing))}")
    return {name: value for name, value in values.items() if name in declared}


@cache
def inputs(name: str, kind: str = "") -> Mapping[str, tuple[str, str | None] | None]:
    """The inputs of a script and of what it needs; what it says of one itself goes first."""
    found: dict[str, tuple[str, str | None] | None] = {}
    for one in parts(name, kind):
        found |= head(one).inputs
    return found


def check(name: str, values: Mapping[str, Input], kind: str = "") -> None:
    """TypeError where a command is not given what it declares, or something else."""
    its = head(f"command/{name}")
    expected = _expected(f"command/{name}", values, kind) - its.programs.keys()
    if unknown := values.keys() - expected:
        raise TypeError(
            f"command/{name} is given {' '.join(sorted(unknown))}, which it does not declare as an input here"
        )
    if missing := expected - values.keys():
        raise TypeError(f"command/{name} is not given {' '.join(sorted(missing))}")
    for each, value in values.items():
        wanted = Mapping if each in its.settings else Sequence if each in its.words else str
        if not isinstance(value, wanted) or (isinstance(value, str) and wanted is not str):
            raise TypeError(f"command/{name} is given {each} as {type(value).__name__}")


def _expected(name: str, values: Mapping[str, Input], kind: str = "") -> set[str]:
    return {
        each
        for each, where in inputs(name, kind).items()
        if where is None or (values.get(where[0]) == where[1] if where[1] else values.get(where[0]))
    }


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
