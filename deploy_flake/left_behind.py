# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends ansible-playbook where what bound it to us was killed: it would go on, and nobody would hear of it."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

from deploy_flake.bound_to_parent import is_shared, kill

MARK = "DEPLOY_FLAKE_RUN"
"""A variable that all processes of a run have in their environment, so that workers without a parent are found."""
_TO_LEAVE = 3.0
"""Seconds that ansible-playbook gets to end what it has started."""
_AGAIN = 1.0
"""Seconds until it is told again."""


def end(pid: int | None, run: str) -> None:
    """End ansible-playbook, whose process this is, and whatever else of the run is left."""
    # It was told by the kernel a moment ago. Told twice at once, it dies before it has told its workers.
    told = time.monotonic()
    deadline = told + _TO_LEAVE
    while pid and _is_ansible(pid) and (now := time.monotonic()) < deadline:
        if now - told >= _AGAIN:
            told = now
            kill([pid], signal.SIGINT)
        time.sleep(0.05)
    # Somebody may be starting something just now, and what is being executed has no environment for a moment.
    looks = 0
    for _turn in range(10):
        left = _of_run(run)
        looks = 0 if left else looks + 1
        if looks == 2:
            return
        kill(left, signal.SIGKILL)
        time.sleep(0.1)


def _is_ansible(pid: int) -> bool:
    """Whether the process is still what it was; its number may be another one's by now."""
    try:
        return b"ansible-playbook" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _of_run(run: str) -> list[int]:
    """Those that live, but for ssh's masters, which end by themselves. Only Linux tells."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            pid = int(environ.parent.name)
            if f"\0{MARK}={run}\0".encode() in b"\0" + environ.read_bytes() and not is_shared(pid):
                found.append(pid)
    return found
