# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's files about its variables: argument specifications, defaults, and what the modules are given."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from tools.option_table import PREFIX, Option, Table, Variable, secrets
from tools.shell import ROOT

HEAD = "---\n# Made by `make generate` from the modules' documentation and tests/tools/options.yml. Do not edit.\n"
_WIDTH = 120
_SET = re.compile(rf"^ +(?:register: ({PREFIX}\w+)$|({PREFIX}\w+): )", re.MULTILINE)
_MODULE = "deploy_flake.nixos."
_ROLE = "deploy_flake.nixos.deploy#role"


def argument_specs(table: Table) -> str:
    specs = {name: _entry_point(table, name) for name in table.entry_points}
    return HEAD + _yaml({"argument_specs": specs})


def types(table: Table) -> str:
    """What Ansible needs of them to validate variables, for a task that runs once for all hosts; no more, since that
    task shows all of it when it fails."""
    found = {name: {one.full_name: _types(one) for one in table.of(name)} for name in table.entry_points}
    return json.dumps(found, indent=1) + "\n"


def inner_variables() -> str:
    """The variables with the role's prefix that the role and the playbooks set themselves."""
    files = [*(ROOT / "roles/deploy/tasks").glob("*.yml"), *(ROOT / "playbooks").glob("*.yml")]
    found = {
        name for file in files for match in _SET.finditer(file.read_text("utf-8")) for name in match.groups() if name
    }
    return json.dumps(sorted(found | {f"{PREFIX}arguments"}), indent=1) + "\n"


def defaults(table: Table) -> str:
    """Of a variable that has one; the others are given to the modules only where somebody has defined them."""
    found = {
        one.full_name: one.option["default"]
        for one in table.variables
        if "default" in one.option and "undefined" not in one.said
    }
    return HEAD + "# What each of these means is in meta/argument_specs.yml.\n" + _yaml(found)


def arguments(table: Table) -> str:
    """One template for each module, which gives a dictionary. Of them Ansible looks only at that of a task's module."""
    given = {
        module: one if isinstance(one, str) else _dictionary(one) for module, one in table.arguments.items() if one
    }
    return (
        HEAD
        + "# The defaults of the modules in the role's tasks (module_defaults). Each is one template, since\n"
        + "# every process of Ansible's compiles anew what it has to template.\n"
        + _yaml({f"{PREFIX}arguments": given})
    )


def _dictionary(options: Mapping[str, str]) -> str:
    """The template of a dictionary, of the templates of its values."""
    lines = []
    for name, template in options.items():
        expression = template.removeprefix("{{ ").removesuffix(" }}")
        assert template == f"{{{{ {expression} }}}}", f"{name}: {template}"
        strings = re.findall(r"'[^']*'|\"[^\"]*\"", expression)
        assert not any(" | " in string for string in strings), f"{name}: it would be cut within a string"
        line = f"'{name}': {expression},"
        lines.append(line if len(line) <= _WIDTH else line.replace(" | ", "\n    | "))
    return "{{ {\n" + "".join(f"  {line}\n" for line in lines) + "} }}"


def _entry_point(table: Table, name: str) -> dict[str, Any]:
    about = table.entry_points[name]
    return {
        "short_description": about["short_description"],
        "description": about["description"],
        "author": ["The deploy_flake.nixos authors"],
        "version_added": "0.1.0",
        "options": {one.full_name: _specification(one, _referring(one, table, name)) for one in table.of(name)},
    }


def _specification(variable: Variable, refer: Callable[[str], str]) -> dict[str, Any]:
    option = _described(variable.option, refer) | ({"no_log": True} if variable.option_name in secrets() else {})
    # What a module insists on has a default here, or none of the modules is given it.
    option.pop("required", None)
    return option


def _types(variable: Variable) -> dict[str, Any]:
    def bare(option: Mapping[str, Any]) -> dict[str, Any]:
        found = {key: option[key] for key in ("type", "elements", "choices", "required", "no_log") if key in option}
        inner = option.get("options", {})
        return found | ({"options": {name: bare(one) for name, one in inner.items()}} if inner else {})

    return bare(_specification(variable, str))


def _described(option: Option, refer: Callable[[str], str]) -> dict[str, Any]:
    """An option of a module as an argument specification has it."""
    description = option["description"]
    paragraphs = [description] if isinstance(description, str) else description
    found: dict[str, Any] = {"description": [refer(" ".join(text.split())) for text in paragraphs]}
    found |= {key: option[key] for key in ("type", "elements", "choices", "required", "default") if key in option}
    if inner := option.get("suboptions"):
        found["options"] = {name: _described(one, refer) for name, one in inner.items()}
    return found


def _referring(variable: Variable, table: Table, entry_point: str) -> Callable[[str], str]:
    """What refers to a module's own options and return values refers to the role's variables, or names the module."""
    here = {one.name for one in table.of(entry_point)}
    first = {one.name: one.entry_points[0] for one in table.variables}

    def option(match: re.Match[str]) -> str:
        name = re.split(r"[.=\[]", match[1])[0]
        if name.startswith(PREFIX) or "#" in name:
            return match[0]
        if variable.said.get("suboptions_of"):
            return f"O({variable.full_name}.{match[1]})"
        if name in here:
            return f"O({PREFIX}{match[1]})"
        if name in first:
            return f"O({_ROLE}:{first[name]}:{PREFIX}{match[1]})"
        return f"O({_MODULE}{variable.module}#module:{match[1]})"

    def value(match: re.Match[str]) -> str:
        return match[0] if "#" in match[1] else f"RV({_MODULE}{variable.module}#module:{match[1]})"

    return lambda text: re.sub(r"\bRV\(([^)]+)\)", value, re.sub(r"\bO\(([^)]+)\)", option, text))


class _Dumper(yaml.SafeDumper):
    """As yamllint and ansible-lint want it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """Expressions in double quotes, as Ansible's own documentation has them, and those of many lines as they are."""
    style = "|" if "\n" in text else '"' if "{{" in text or not text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
