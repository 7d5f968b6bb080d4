# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists that were given as one string, as on a command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_AS_GIVEN = frozenset({"build_args"})
"""Arguments of a command, of which one may be empty, or end with a blank."""


def split(text: str) -> list[str]:
    """What is between the commas, without blanks around it, which Ansible would leave there."""
    return [one for one in map(str.strip, text.split(",")) if one]


def split_lists(spec: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values, with lists where the options of these names are lists of words."""
    words = {name for name, one in spec.items() if (one.get("type"), one.get("elements")) == ("list", "str")}
    return {
        name: _words(name, value) if isinstance(value, str) and name in words else value
        for name, value in values.items()
    }


def _words(name: str, text: str) -> list[str]:
    if name not in _AS_GIVEN:
        return split(text)
    return text.split(",") if text else []
