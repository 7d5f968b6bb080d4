# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of variables and flags in the documentation."""

from __future__ import annotations

import json
import re
from typing import Any

from tools.option_package import first_sentence, flags
from tools.option_table import Table, TableError, Variable

_BEGIN = "<!-- Made by `make generate`: the flags that set a variable of the role. -->"
_END = "<!-- Until here. -->"
_HEAD = """\
<!-- Made by `make generate` from the modules' documentation and tests/tools/options.yml. Do not edit. -->

# The variables of the role and the playbooks

`ansible-doc -t role deploy_flake.nixos.deploy` says more about each. A playbook has the name of the role's entry point
that it runs; `deploy` runs `main`.

| variable | type | default | read by | what it is |
| --- | --- | --- | --- | --- |
"""


def variables(table: Table) -> str:
    return _HEAD + "".join(_row(one) for one in table.variables)


def with_flags(text: str, table: Table) -> str:
    """The documentation of the command, with its table of flags as it should be."""
    head, begin, rest = text.partition(_BEGIN)
    _old, end, tail = rest.partition(_END)
    if not begin or not end:
        raise TableError(f"docs/command.md has no {_BEGIN} and {_END}")
    rows = "".join(_flag(one) for one in flags(table))
    return f"{head}{begin}\n\n| flag | of | what it does |\n| --- | --- | --- |\n{rows}\n{end}{tail}"


def _row(variable: Variable) -> str:
    option = variable.option
    kind = f"list of {option['elements']}" if option["type"] == "list" else option["type"]
    default = option.get("default")
    shown = "" if default in (None, "", [], {}) else f"`{default if isinstance(default, str) else json.dumps(default)}`"
    read_by = ", ".join(variable.entry_points)
    return f"| `{variable.full_name}` | {kind} | {shown} | {read_by} | {_cell(first_sentence(variable))} |\n"


def _flag(flag: dict[str, Any]) -> str:
    value = flag["metavar"] or "|".join(flag["choices"] or ())
    name = f"{flag['name']} {value}".strip().replace("|", "\\|")
    of = "all" if "status" in flag["commands"] else ", ".join(flag["commands"])
    return f"| `{name}` | {of} | {_cell(flag['help'])} |\n"


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text)
