# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of others as a terminal may show it: what a host, a journal, a build or a unit says is anything at all.

All that is told goes through here, and so does every result. The package deploy_flake has the same for what it shows.
"""

from __future__ import annotations

import re

# C0 but for the end of a line and the tab, DEL, and C1, whose U+009B begins a sequence as ESC [ does.
CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, and moves of the cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles and links
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def printable(text: str) -> str:
    """The text without control characters and what they begin; itself where it has none."""
    return CONTROL.sub("", text) if CONTROL.search(text) else text
