# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The smallest values that can be meant of options that are numbers; documentation has no field for that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_LEAST = {
    "copy_timeout": 1,
    "build_timeout": 1,
    "fetch_timeout": 1,
    "boot_timeout": 1,
    "garbage_timeout": 1,
    "lock_timeout": 0,
    "reconnect_timeout": 0,
    "keep": 0,
    "keep_days": 0,
}


def too_small(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The options whose value is too small, each with what to say of it."""
    for name, least in _LEAST.items():
        value = options.get(name)
        if isinstance(value, int) and value < least:
            yield name, f"it must be at least {least}, and is {value}"
    for name, value in (options.get("min_free_space") or {}).items():
        if isinstance(value, int) and value < 0:
            yield "min_free_space", f"{name} must not be negative, and is {value}"
