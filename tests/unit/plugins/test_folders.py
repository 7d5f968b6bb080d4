# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/architecture.md is true: the folders stand on each other as it says, and it has a row for every script."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.shell import ROOT

UTILS = ROOT / "plugins/plugin_utils"
PAGE = (ROOT / "docs/architecture.md").read_text()
# From the lowest to the highest; actions and the package's own stand on all of them.
FLOORS = [re.sub(r"\.py$|/$", "", name) for name in re.findall(r"^\| `(_\w+(?:\.py|/))` \|", PAGE, re.MULTILINE)]


def floor(file: Path) -> str:
    return file.relative_to(UTILS).parts[0].removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    """The floors that a file imports from."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                place = file.parents[node.level - 1].joinpath(*name.split("."))
                assert place.is_relative_to(UTILS), f"{file} imports {place}"
                yield floor(place)


@pytest.mark.parametrize("file", sorted(UTILS.rglob("*.py")), ids=lambda file: str(file.relative_to(UTILS)))
def test_a_folder_imports_only_from_those_above_it_in_the_table(file: Path) -> None:
    allowed = FLOORS[: FLOORS.index(floor(file)) + 1]
    assert set(imported(file)) <= set(allowed)


@pytest.mark.parametrize("kind", ["command", "unit"])
def test_every_script_has_a_row(kind: str) -> None:
    _before, table = PAGE.split(f"| {kind} |", 1)
    rows = re.findall(r"^\| (`.*?) \|", table.split("\n\n", 1)[0], re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(file.stem for file in (UTILS / "_sh" / kind).glob("*.sh"))
