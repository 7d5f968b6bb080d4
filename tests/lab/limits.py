# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel limits that are too low for many hosts; raised while the lab is up, and put back."""

from __future__ import annotations

import json
from pathlib import Path

from lab.state import State, boot_id

# At the defaults about 16 hosts fit.
FEW_HOSTS = 10
WANTED = {
    "fs/inotify/max_user_instances": 8192,
    "kernel/keys/maxkeys": 20000,
    "kernel/keys/maxbytes": 2000000,
}
SYSCTL = Path("/proc/sys")


def raise_for(state: State, hosts: int) -> None:
    record = state.running / "limits.json"
    if hosts <= FEW_HOSTS or _recorded(record):
        return
    before = {name: int((SYSCTL / name).read_text()) for name in WANTED}
    lower = {name: value for name, value in before.items() if value < WANTED[name]}
    # On record before the change: a crash in between must not lose the old numbers.
    record.write_text(json.dumps({"boot_id": boot_id(), "before": lower}))
    for name in lower:
        (SYSCTL / name).write_text(str(WANTED[name]))


def restore(state: State) -> None:
    record = state.running / "limits.json"
    for name, value in _recorded(record).items():
        path = SYSCTL / name
        # Somebody else may have set another number meanwhile: that one is theirs.
        if int(path.read_text()) == WANTED[name]:
            path.write_text(str(value))
    record.unlink(missing_ok=True)


def _recorded(record: Path) -> dict[str, int]:
    if not record.is_file():
        return {}
    data = json.loads(record.read_text())
    before: dict[str, int] = data["before"] if data["boot_id"] == boot_id() else {}
    return before
