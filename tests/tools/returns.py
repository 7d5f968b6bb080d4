# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of return_values.yml: parts of RETURN, the fields of results, and with the events a JSON Schema.

`python3 -m tools.returns` says which files are out of date, `python3 -m tools.returns generate` writes them.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tools import event_schema
from tools.shell import ROOT

_TABLE = Path("tests/tools/return_values.yml")
_RESULT = Path("deploy_flake/result.py")
_RETURNED = Path("deploy_flake/returned.py")
_SCHEMA = Path("deploy_flake/events.schema.json")
_BEGIN = f"# From {_TABLE}, by `python3 -m tools generate`:"
_END = "# Until here."
_REGION = re.compile(rf"^( *){re.escape(_BEGIN)} (\w+)\n.*?^ *{re.escape(_END)}\n", re.DOTALL | re.MULTILINE)
_WIDTH = 120
_FOR_ANSIBLE = ("description", "type", "elements", "returned", "sample", "contains")
_TYPES = {"str": "str", "int": "int", "float": "float", "bool": "bool"}
_EMPTY = {"str": '""', "int": "0", "float": "0.0", "bool": "False"}

Value = Mapping[str, Any]
Table = Mapping[str, Mapping[str, Value]]


def generate() -> list[str]:
    """Write what is out of date; the files that were."""
    return _stale(write=True)


def check() -> list[str]:
    """The files that are out of date."""
    return _stale(write=False)


def _stale(write: bool) -> list[str]:
    stale = []
    table = yaml.safe_load((ROOT / _TABLE).read_text("utf-8"))
    for path, text in _sources(table):
        if not (ROOT / path).exists() or (ROOT / path).read_text("utf-8") != text:
            stale.append(str(path))
            if write:
                (ROOT / path).write_text(text, "utf-8")
    # It is made of the classes as they are by now.
    if write or not stale:
        text = json.dumps(event_schema.schema(), indent=2) + "\n"
        if not (ROOT / _SCHEMA).exists() or (ROOT / _SCHEMA).read_text("utf-8") != text:
            stale.append(str(_SCHEMA))
            if write:
                (ROOT / _SCHEMA).write_text(text, "utf-8")
    return stale


def _sources(table: Table) -> Iterator[tuple[Path, str]]:
    modules = {module for values in table.values() for value in values.values() for module in value["modules"]}
    for module in sorted(modules):
        path = Path("plugins/modules", f"{module}.py")
        yield path, _with(path, {"RETURN": _yaml(_returned_by(table, module))})
    yield _RESULT, _with(_RESULT, {kind: _fields(table, kind) for kind in table})
    yield _RETURNED, _python(table)


def _with(path: Path, regions: Mapping[str, str]) -> str:
    """The file with what belongs between its marks."""
    text = (ROOT / path).read_text("utf-8")
    if (found := [name for _indent, name in _REGION.findall(text)]) != list(regions):
        raise ValueError(f"{path} has marks for {found}, and needs them for {list(regions)}")

    def filled(match: re.Match[str]) -> str:
        indent, name = match.groups()
        return textwrap.indent(f"{_BEGIN} {name}\n{regions[name]}{_END}\n", indent)

    return _REGION.sub(filled, text)


# RETURN


def _returned_by(table: Table, module: str) -> dict[str, Value]:
    return {
        name: {"returned": "success", **value, **value["modules"][module]}
        for values in table.values()
        for name, value in values.items()
        if module in value["modules"]
    }


def _yaml(values: Mapping[str, Value], indent: str = "") -> str:
    lines = []
    for name, value in values.items():
        lines.append(f"{indent}{name}:\n")
        for key in _FOR_ANSIBLE:
            if key == "contains" and key in value:
                lines.append(f"{indent}  contains:\n{_yaml(value[key], f'{indent}    ')}")
            elif key in value:
                lines.append(_yaml_entry(key, value[key], f"{indent}  "))
    return "".join(lines)


def _yaml_entry(key: str, value: Any, indent: str) -> str:
    if key == "sample":
        text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
        # YAML marks the end of what is no list and no mapping.
        return f"{indent}{key}: {text.strip().removesuffix('...').strip()}\n"
    if isinstance(value, list):
        return f"{indent}{key}:\n" + "".join(_yaml_text("- ", each, f"{indent}  ") for each in value)
    return _yaml_text(f"{key}: ", value, indent)


def _yaml_text(before: str, text: str, indent: str) -> str:
    """Plain where YAML reads it as it stands, else folded."""
    within = f"{indent}  "
    if _is_plain(text):
        return _fill(text, _WIDTH, initial_indent=f"{indent}{before}", subsequent_indent=within) + "\n"
    return f"{indent}{before}>-\n{_fill(text, _WIDTH, initial_indent=within, subsequent_indent=within)}\n"


def _is_plain(text: str) -> bool:
    try:
        return bool(yaml.safe_load(text) == text)
    except yaml.YAMLError:
        return False


# Python


def _fields(table: Table, kind: str) -> str:
    """The fields of a result, but for those that results of the kinds before it have already."""
    kinds = list(table)
    known = {value.get("field") for earlier in kinds[: kinds.index(kind)] for value in table[earlier].values()}
    fields = {}
    for value in table[kind].values():
        if (name := value.get("field")) and name not in known:
            fields[name] = f"{name}: {_type(value)} = {_default(value)}\n{_docstring(value)}"
    return "".join(fields.values())


def _python(table: Table) -> str:
    classes: dict[str, list[Value]] = {}
    for values in table.values():
        _collect({name: value for name, value in values.items() if "field" in value}, classes)
    license_ = "".join((ROOT / _RESULT).read_text("utf-8").splitlines(keepends=True)[:3])
    parts = [f"{license_}# From {_TABLE}, by `python3 -m tools generate`.\n{_HEAD}"]
    parts += [_class(name, forms) for name, forms in classes.items()]
    for kind, values in table.items():
        lines = "".join(f'    "{name}": "{value["field"]}",\n' for name, value in values.items() if "field" in value)
        parts.append(f"{_CONSTANT[kind]} = {{\n{lines}}}\n")
    return "\n\n".join(parts[:-2]) + "\n\n" + "\n".join(parts[-2:])


_HEAD = '''\
"""Return values of the modules: those that have parts, and which field of a result each becomes."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict
'''
_CONSTANT = {"HostResult": "OF_A_DEPLOYMENT", "HostStatus": "OF_A_HOST"}


def _collect(values: Mapping[str, Value], classes: dict[str, list[Value]]) -> None:
    """The classes of these values and of their parts; what has parts comes after them."""
    for value in values.values():
        if "class" in value:
            _collect(value["contains"], classes)
            classes.setdefault(value["class"], []).append(value)


def _class(name: str, values: list[Value]) -> str:
    """One class for all values that are of it: what only some have need not be there."""
    parts: dict[str, Value] = {}
    for part, value in [item for one in values for item in one["contains"].items()]:
        having = [one["contains"][part] for one in values if part in one["contains"]]
        optional = len(having) < len(values) or any(each.get("optional") for each in having)
        nullable = any(each.get("nullable") for each in having)
        parts.setdefault(part, {**value, "optional": optional, "nullable": nullable})
    # What Python has a use for itself cannot be written in a class.
    before, base = "", "TypedDict"
    if "from" in parts:
        before, base = f'_{name} = TypedDict("_{name}", {{"from": {_type(parts.pop("from"))}}})\n\n\n', f"_{name}"
    body = f"{_docstring(values[0])}\n"
    for part, value in parts.items():
        type_ = f"NotRequired[{_type(value)}]" if value["optional"] else _type(value)
        body += f"{part}: {type_}\n{_docstring(value)}"
    return f"{before}class {name}({base}):\n{textwrap.indent(body, '    ')}"


def _type(value: Value) -> str:
    kind, of = value["type"], value.get("class", "dict[str, Any]")
    if kind == "list":
        name = f"list[{of if value['elements'] == 'dict' else _TYPES[value['elements']]}]"
    else:
        name = of if kind == "dict" else _TYPES[kind]
    return f"{name} | None" if value.get("nullable") else name


def _default(value: Value) -> str:
    if value.get("nullable"):
        return "None"
    if value["type"] in _EMPTY:
        return _EMPTY[value["type"]]
    return f"field(default_factory={value.get('class', value['type']) if value['type'] == 'dict' else 'list'})"


def _docstring(value: Value) -> str:
    said = value["description"]
    text = _without_markup(" ".join(said) if isinstance(said, list) else said)
    return _fill(f'"""{text}"""', _WIDTH - 4) + "\n"


def _fill(text: str, width: int, initial_indent: str = "", subsequent_indent: str = "") -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=initial_indent,
        subsequent_indent=subsequent_indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _without_markup(text: str) -> str:
    """Ansible's markup, as it is written in Python."""
    text = re.sub(r"V\((none|true|false)\)", lambda match: match[1].title(), text)
    text = re.sub(r"M\([\w.]+\.(\w+)\)", r"`\1`", text)
    return re.sub(r"\b(?:C|V|O|RV)\(([^)]*)\)", r"`\1`", text)


def main() -> int:
    """Say what is out of date, or write it."""
    if sys.argv[1:] == ["generate"]:
        print("\n".join(f"written: {path}" for path in generate()))
        return 0
    stale = check()
    print("\n".join(f"out of date: {path} (make generate)" for path in stale))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
