# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the role, from the modules' documentation and options.yml."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tools.shell import ROOT

TABLE = Path("tests/tools/options.yml")
PREFIX = "deploy_flake_"
_FRAGMENT = "deploy_flake.nixos."
_KEYS = ("description", "type", "elements", "choices", "default", "required", "suboptions")

Option = Mapping[str, Any]


class TableError(Exception):
    """Something in options.yml that fits nothing else."""


@dataclass(frozen=True)
class Variable:
    """A variable of the role: what it is called there behind its prefix, and all that is said of it."""

    name: str
    option: Option
    """As in a module's documentation."""
    module: str
    """The module whose documentation that is; "" for a variable that is no module's option."""
    entry_points: tuple[str, ...]
    said: Mapping[str, Any]
    """What options.yml says."""

    @property
    def full_name(self) -> str:
        return PREFIX + self.name

    @property
    def option_name(self) -> str:
        """What the module calls it."""
        return str(self.said.get("of", "")).partition(".")[2] or self.name

    @property
    def command(self) -> Mapping[str, Any] | None:
        """What is unusual about its flag; None where it has neither a flag nor a field."""
        said = self.said.get("command", {})
        return said if said is not False and {"main", "rollback", "install"} & {*self.entry_points} else None


class Table:
    """What options.yml and the modules' documentation say together."""

    def __init__(self) -> None:
        table = yaml.safe_load((ROOT / TABLE).read_text("utf-8"))
        self.entry_points: Mapping[str, Mapping[str, Any]] = table["entry_points"]
        self._modules: Mapping[str, Any] = table["modules"]
        self._said: Mapping[str, Mapping[str, Any]] = {name: said or {} for name, said in table["variables"].items()}
        self.arguments = {module: self._arguments(module) for module in self._in_order()}
        reads = {name: self._reads(name) for name in self.entry_points}
        read = {variable: None for variables in reads.values() for variable in variables}
        names = [*self._said, *(name for name in read if name not in self._said)]
        self.variables = [self._variable(name, reads) for name in names]
        for variable in self.variables:
            if not variable.entry_points:
                raise TableError(f"{TABLE}: no entry point reads {variable.name}")
        known = {variable.name: variable for variable in self.variables}
        if unknown := {*table["survey"]} - {*known}:
            raise TableError(f"{TABLE}: the survey asks for {', '.join(unknown)}, which no variable is")
        self.asked = [known[name] for name in table["survey"]]
        """What the example of a survey asks for."""

    def of(self, entry_point: str) -> list[Variable]:
        """The variables that an entry point reads."""
        return [one for one in self.variables if entry_point in one.entry_points]

    def _in_order(self) -> list[str]:
        found = {module: None for entry_point in self.entry_points.values() for module in entry_point["modules"]}
        if unknown := {*self._modules} - {*found}:
            raise TableError(f"{TABLE}: no entry point runs {', '.join(unknown)}")
        return list(found)

    def _arguments(self, module: str) -> str | dict[str, str]:
        """What the role gives to a module: an expression for each option, or one for all."""
        given = self._modules.get(module) or {}
        if isinstance(given, str):
            return given
        options = module_options(module)
        if unknown := {*given} - {*options}:
            raise TableError(f"{TABLE}: {module} has no option {', '.join(unknown)}")
        expressions = {name: given.get(name, self._given(name)) for name in options if given.get(name, "") is not None}
        return {name: expression for name, expression in expressions.items() if expression}

    def _given(self, name: str) -> str:
        said = self._said.get(name, {})
        if "undefined" in said:
            return str(said.get("given", f"{{{{ {PREFIX}{name} | default({said['undefined']}) }}}}"))
        return str(said.get("given", f"{{{{ {PREFIX}{name} }}}}"))

    def _reads(self, entry_point: str) -> dict[str, None]:
        about = self.entry_points[entry_point]
        known = {*self._said, *(option for module in self.arguments for option in module_options(module))}
        found: dict[str, None] = {}
        for module in about["modules"]:
            for word in re.findall(rf"\b{PREFIX}(\w+)", str(self.arguments[module])):
                if word in known and word not in about.get("leaves_out", ()):
                    found[word] = None
        return found

    def _variable(self, name: str, reads: Mapping[str, Mapping[str, None]]) -> Variable:
        said = self._said.get(name, {})
        entry_points = tuple(
            one for one in self.entry_points if name in reads[one] or one in said.get("entry_points", ())
        )
        module, option = self._documented(name, said)
        option = {key: value for key, value in option.items() if key in _KEYS}
        option |= {key: said[key] for key in _KEYS if key in said}
        if of := said.get("suboptions_of"):
            own = fragment_options("host")
            option["suboptions"] = {key: value for key, value in module_options(of).items() if key not in own}
        if {"description", "type"} - {*option}:
            raise TableError(f"{TABLE}: {name} is no module's option, and has no description or no type")
        return Variable(name, option, module, entry_points, said)

    def _documented(self, name: str, said: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The module whose documentation counts, and what it says of the option."""
        if of := said.get("of"):
            module, _dot, option = of.partition(".")
            return module, dict(module_options(module)[option or name])
        for module in self.arguments:
            if name in module_options(module) and "entry_points" not in said:
                return module, dict(module_options(module)[name])
        return "", {}


@cache
def module_options(module: str) -> Mapping[str, Option]:
    """The options of a module, its fragments' included, in the order of ansible-doc."""
    documentation = _documentation(Path("plugins/modules", f"{module}.py"))
    options = dict(documentation.get("options", {}))
    for fragment in documentation.get("extends_documentation_fragment", []):
        options = options | {
            name: option
            for name, option in fragment_options(fragment.removeprefix(_FRAGMENT)).items()
            if name not in options
        }
    return options


@cache
def fragment_options(fragment: str) -> Mapping[str, Option]:
    options: Mapping[str, Option] = _documentation(_fragment(fragment)).get("options", {})
    return options


@cache
def secrets() -> frozenset[str]:
    """The options that no log may have."""
    found: set[str] = set()
    for path in sorted((ROOT / "plugins/doc_fragments").glob("*.py")):
        found.update(*_constants(path, "NO_LOG"))
    return frozenset(found)


def _fragment(name: str) -> Path:
    return Path("plugins/doc_fragments", f"{name}.py")


def _documentation(path: Path) -> Mapping[str, Any]:
    (text,) = _constants(ROOT / path, "DOCUMENTATION")
    documentation: Mapping[str, Any] = yaml.safe_load(text)
    return documentation


def _constants(path: Path, name: str) -> Iterator[Any]:
    """The values that a name is given in a file, which is not run for it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            yield ast.literal_eval(node.value)
