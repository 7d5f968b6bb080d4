# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/safety.md is true of the model and of the tests: each promise has a test, and each invariant a promise."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tools.shell import ROOT

PAGE = (ROOT / "docs/safety.md").read_text("utf-8")
HEAD = "| promise | invariant | shown by |"
TEST = re.compile(r"`([\w/]*test_\w+\.py)::(test_\w+)`")


class Promise(NamedTuple):
    """A row of the table."""

    text: str
    invariants: list[str]
    tests: list[str]


def promises() -> list[Promise]:
    """Every row."""
    _before, head, table = PAGE.partition(HEAD)
    assert head, f"docs/safety.md has no table {HEAD}"
    rows = [re.split(r" *\| *", line.strip("| ")) for line in table.split("\n\n", 1)[0].splitlines()[2:]]
    return [Promise(text, re.findall(r"`(\w+)`", named), shown.split(", ")) for text, named, shown in rows]


def invariants() -> set[str]:
    """Those that the model looks at."""
    text = (ROOT / "docs/model/invariants.pml").read_text("utf-8")
    declared = re.search(r"^bool ([\w,\s]+);", text, re.MULTILINE)
    assert declared
    return {name.strip() for name in declared[1].split(",")}


@functools.cache
def found_in(file: Path) -> set[str]:
    """The tests that pytest would find in a file."""
    return {node.name for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("promise", promises(), ids=lambda promise: promise.text)
def test_every_promise_is_shown_by_tests(promise: Promise) -> None:
    assert promise.tests
    assert [text for text in promise.tests if not TEST.fullmatch(text)] == []


@pytest.mark.parametrize("named", sorted({"::".join(found) for found in TEST.findall(PAGE)}))
def test_every_test_that_is_named_is_there(named: str) -> None:
    """Those of the lab's hosts without their folder."""
    name, _colons, test = named.partition("::")
    file = ROOT / ("tests" if "/" in name else "tests/integration") / name
    assert file.exists()
    assert test in found_in(file)


def test_the_page_names_tests_in_no_other_way() -> None:
    """So that none is overlooked."""
    assert re.findall(r"test_\w+", TEST.sub("", PAGE)) == []


def test_every_invariant_is_promised_and_no_other() -> None:
    assert {name for promise in promises() for name in promise.invariants} == invariants()
