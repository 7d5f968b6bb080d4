# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of the role's variables, and those that somebody has misspelt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

PREFIX = "deploy_flake_"
_FILES = Path(__file__).parents[3] / "roles" / "deploy" / "files"


@cache
def types() -> Mapping[str, Mapping[str, Any]]:
    """What each entry point of the role reads, as Ansible's argument specifications have it."""
    found: dict[str, Mapping[str, Any]] = json.loads((_FILES / "argument_types.json").read_text("utf-8"))
    return found


@cache
def known() -> frozenset[str]:
    """Every variable that a user may set; one inventory serves all playbooks."""
    return frozenset(name for entry_point in types().values() for name in entry_point)


@cache
def _inner() -> frozenset[str]:
    """What the role and the playbooks set themselves, such as the results of their tasks."""
    return frozenset(json.loads((_FILES / "inner_variables.json").read_text("utf-8")))


def misspelt(defined: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The variables with the role's prefix that it does not know, and what to say of each."""
    for name in sorted(name for name in defined if name.startswith(PREFIX)):
        if name not in known() and name not in _inner():
            near = nearest(name, known())
            other = f"did you mean {near}?" if near else f"variables of your own must not begin with {PREFIX}"
            yield name, f"there is no such variable; {other}"


def nearest(name: str, names: Iterable[str]) -> str:
    """The name that was probably meant; "" if none looks like it. What all of them begin with tells nothing."""
    shorter = {one.removeprefix(PREFIX): one for one in names}
    found = get_close_matches(name.removeprefix(PREFIX).lower(), shorter, n=1, cutoff=0.6)
    return shorter[found[0]] if found else ""
