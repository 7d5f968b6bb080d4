# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `switch-to-configuration dry-activate` says it would do, as lists.

It writes lines for people to standard error. Those that name units are the same in its Perl and its Rust form, but for
their order and how the names are sorted; what the new system's own `dry-activate` script says is mixed in.
"""

from __future__ import annotations

import re
from typing import TypedDict

_UNITS = {
    "would stop the following units": "stop",
    "would NOT stop the following changed units": "keep",
    "would reload the following units": "reload",
    "would restart the following units": "restart",
    "would start the following units": "start",
}
_SWAP = "would stop swap device: "
_SYSTEMD = "would restart systemd"
# systemd allows nothing else in the name of a unit.
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.[a-z]+")


class Would(TypedDict):
    """Names of units for each thing that would be done; a unit that is stopped and started again is in both lists."""

    stop: list[str]
    start: list[str]
    restart: list[str]
    reload: list[str]
    keep: list[str]
    """Units that have changed and would run on as they are, since they do not allow a restart."""
    swapoff: list[str]
    """Swap devices that would be taken away."""
    restart_systemd: bool


def nothing() -> Would:
    """Nothing would be done."""
    return Would(stop=[], start=[], restart=[], reload=[], keep=[], swapoff=[], restart_systemd=False)


def parse(text: str) -> Would:
    """Read what it said; lines that are about something else are passed over."""
    would = nothing()
    lists = {"stop": would["stop"], "start": would["start"], "restart": would["restart"]}
    lists |= {"reload": would["reload"], "keep": would["keep"]}
    for line in text.splitlines():
        said, _colon, names = line.rstrip().partition(": ")
        if said in _UNITS:
            found = lists[_UNITS[said]]
            found += [name for name in dict.fromkeys(names.split(", ")) if _UNIT.fullmatch(name) and name not in found]
        elif line.startswith(_SWAP):
            would["swapoff"].append(line.removeprefix(_SWAP).strip())
        elif line.rstrip() == _SYSTEMD:
            would["restart_systemd"] = True
    return would
