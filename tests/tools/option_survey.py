# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An example of a survey for AWX: what it asks when a job is started, each question a variable of the role."""

from __future__ import annotations

import json
from typing import Any

from tools.option_package import first_sentence
from tools.option_table import Table, Variable

_YES_OR_NO = ["true", "false"]


def survey(table: Table) -> str:
    spec = [_question(one) for one in table.asked]
    return json.dumps({"name": "", "description": "", "spec": spec}, indent=2) + "\n"


def _question(variable: Variable) -> dict[str, Any]:
    """AWX has no type for yes and no; a list without choices is given as words with commas between them."""
    option = variable.option
    kind, default = option["type"], option.get("default", "")
    choices = _YES_OR_NO if kind == "bool" else option.get("choices")
    if choices:
        asked = {"type": "multiselect" if kind == "list" else "multiplechoice", "choices": choices}
    else:
        asked = {"type": "integer" if kind == "int" else "text"}
    if isinstance(default, bool):
        default = json.dumps(default)
    elif isinstance(default, list):
        default = ("\n" if choices else ",").join(default)
    return {
        "question_name": variable.name.replace("_", " ").capitalize(),
        "question_description": first_sentence(variable),
        "variable": variable.full_name,
        "required": False,
        **asked,
        "default": default,
    }
