# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of others as a terminal may show it: what ansible-playbook reports of hosts is anything at all.

All that comes from ansible-playbook goes through here before anything is made of it, and all that is printed does once
more. The collection's `_printable.py` is the same for what Ansible shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# C0 but for the end of a line and the tab, DEL, and C1, whose U+009B begins a sequence as ESC [ does.
CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, and moves of the cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles and links
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
# What Python makes of bytes that are no UTF-8: no other program reads it.
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def printable(text: str) -> str:
    """The text without control characters and what they begin, and without what is no character."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", CONTROL.sub("", text))


def all_printable(value: Any) -> Any:
    """Every text in it, at any depth, made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {all_printable(name): all_printable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [all_printable(each) for each in value]
    return value
