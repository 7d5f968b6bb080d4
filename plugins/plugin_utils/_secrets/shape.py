# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the shape of secret options before Ansible does, whose messages have what is of another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def type_of(value: Any) -> str:
    """The name of a type as users know it; Ansible has classes of its own for values whose origin it remembers."""
    known = (dict, list, tuple, set, str, bytes, bool, int, float)
    return next((one.__name__ for one in known if isinstance(value, one)), type(value).__name__)


def misshapen(spec: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with those that are secret lists of dictionaries; no message has a value."""
    for name, option in spec.items():
        if option.get("no_log") and option.get("elements") == "dict" and (value := values.get(name)) is not None:
            if not isinstance(value, list | tuple):
                yield f"{name} must be a list of dictionaries, and is of the type {type_of(value)}"
            elif not all(isinstance(one, Mapping) for one in value):
                yield f"{name} must be a list of dictionaries, and has something else in it"
