# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of the Python API's options, and the command's flags."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tools.option_table import Table, Variable

_OTHERS = ("rollback", "trial", "build", "install", "reboot", "generations", "profiles")
_COMMANDS = {"main": "deploy"} | {name: name for name in _OTHERS}
_EVERY = (*_COMMANDS.values(), "revoke", "status")
_FIELDS = {
    "str": "str | None = None",
    "raw": "str | None = None",
    "int": "int | None = None",
    "list": "Sequence[str] = ()",
    "dict": "Mapping[str, int] = field(default_factory=dict)",
}
_HEAD = '''\
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Made by `make generate` from the modules' documentation and tests/tools/options.yml. Do not edit.
# ruff: noqa: E501
"""The options that are variables of the role: as fields, and as flags of the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Flag(NamedTuple):
    """A flag of the command."""

    name: str
    field: str
    """The field of DeployOptions or RunOptions that it sets."""
    commands: tuple[str, ...]
    group: str
    kind: str
    metavar: str | None
    choices: tuple[str, ...] | None
    help: str
'''


def python(table: Table) -> str:
    ours = [one for one in table.variables if one.command is not None]
    run = [one for one in ours if _said(one).get("api") == "run"]
    deploy = [one for one in ours if one not in run]
    parts = [
        _HEAD,
        _dataclass("RunVariables", "Variables of the role that every run may choose.", run),
        _dataclass("DeployVariables", "Variables of the role that a deploy or a rollback may choose.", deploy),
        _constant("CHOICES", _choices(ours), "Which values a field takes; a list its elements, a mapping its keys."),
        _constant("NUMBERS", _of_type(ours, "int"), "The fields that are positive numbers."),
        _constant("LISTS", _of_type(ours, "list"), "The fields that are lists."),
        _constant("READS", _reads(table), "The variables of the role that each playbook reads."),
        "FLAGS = (\n" + "\n".join(f"{_flag(one)}," for one in ours) + "\n)",
    ]
    return _formatted("\n\n".join(parts) + "\n")


def _reads(table: Table) -> dict[str, tuple[str, ...]]:
    names = {"main": "deploy"}
    return {names.get(one, one): tuple(each.full_name for each in table.of(one)) for one in table.entry_points}


def flags(table: Table) -> list[dict[str, Any]]:
    """What is told of each flag."""
    return [_facts(one) for one in table.variables if one.command is not None]


def first_sentence(variable: Variable) -> str:
    """Of the description, without Ansible's markup."""
    description = variable.option["description"]
    text = description if isinstance(description, str) else description[0]
    plain = re.sub(r"\b(?:[CBIVEO]|RV)\(([^)]+)\)", r"\1", " ".join(text.split()))
    plain = re.sub(r"\bM\((?:deploy_flake\.nixos\.)?([^)]+)\)", r"\1", plain)
    return re.split(r"(?<=[a-z0-9)])[.;] ", plain)[0].rstrip(".")


def _dataclass(name: str, what: str, variables: list[Variable]) -> str:
    lines = [f"@dataclass(frozen=True, kw_only=True)\nclass {name}:", f'    """{what}"""\n']
    for one in variables:
        kind = one.option["type"]
        # One that is set where nobody says so may be set all the same, against an inventory.
        flag = "bool | None = None" if one.option.get("default") else "bool = False"
        its = flag if kind == "bool" else _FIELDS[kind]
        lines.append(f"    {one.name}: {its}")
        text = _documented(one)
        lines.append(textwrap.indent("\n".join(textwrap.wrap(f'"""{text}"""', 110)), "    "))
    return "\n".join(lines)


def _constant(name: str, value: Any, what: str) -> str:
    return f'{name} = {value!r}\n"""{what}"""'


def _of_type(variables: list[Variable], kind: str) -> tuple[str, ...]:
    return tuple(one.name for one in variables if one.option["type"] == kind)


def _said(variable: Variable) -> dict[str, Any]:
    return dict(variable.command or {})


def _documented(variable: Variable) -> str:
    said = _said(variable)
    text = said.get("api", "run")
    if text == "run":
        text = said.get("help") or first_sentence(variable)
    text = f"{text[0].upper()}{text[1:]}"
    return text if text.endswith(".") else f"{text}."


def _choices(variables: list[Variable]) -> dict[str, tuple[str, ...]]:
    found = {}
    for one in variables:
        if values := one.option.get("choices") or one.option.get("suboptions"):
            found[one.name] = tuple(values)
    return found


def _facts(variable: Variable) -> dict[str, Any]:
    said, option = _said(variable), variable.option
    commands = said.get("commands") or [_COMMANDS[one] for one in variable.entry_points if one in _COMMANDS]
    kind = said.get("kind") or _kind(option)
    choices = option.get("choices") or (("run", "skip") if kind == "run-or-skip" else None)
    metavar = said.get("metavar")
    if not metavar and not choices and kind != "switch":
        metavar = "SECONDS" if variable.name.endswith("timeout") else "N" if option["type"] == "int" else "TEXT"
    return {
        "name": said.get("flag") or f"--{variable.name.replace('_', '-')}",
        "field": variable.name,
        "commands": tuple(_EVERY if said.get("api") == "run" else commands),
        "group": said.get("group", "test"),
        "kind": kind,
        "metavar": metavar,
        "choices": tuple(choices) if choices else None,
        "help": _help(variable, kind),
    }


def _kind(option: Any) -> str:
    if option["type"] == "bool":
        return "run-or-skip" if option["default"] else "switch"
    return {"int": "number", "list": "list"}.get(option["type"], "text")


def _help(variable: Variable, kind: str) -> str:
    said, option = _said(variable), variable.option
    text = said.get("help")
    if not text:
        text = first_sentence(variable)
        text = f"{text[0].lower()}{text[1:]}"
    if kind == "limits":
        text += f"; PHASE is one of {', '.join(option['suboptions'])}"
    told = kind in ("number", "text") and option.get("default") not in (None, "")
    if not told or "(default" in text:
        return str(text)
    return f"{text} (default: {option['default']})"


def _flag(variable: Variable) -> str:
    return f"Flag({', '.join(f'{name}={value!r}' for name, value in _facts(variable).items())})"


def _formatted(text: str) -> str:
    """As ruff would have it, which is beside this Python."""
    ruff = Path(sys.executable).parent / "ruff"
    command = [str(ruff), "format", "--quiet", "--stdin-filename", "deploy_flake/generated_options.py", "-"]
    return subprocess.run(command, input=text, capture_output=True, check=True, text=True).stdout
