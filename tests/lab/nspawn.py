# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running systemd-nspawn, in a cgroup of the lab and without help from this machine's systemd."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab import cgroup

ENVIRONMENT = {
    # A host has cgroup2 alone, whatever this machine has.
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    # The lab has a lock of its own; this one would leave files in /run when a host loses its power.
    "SYSTEMD_NSPAWN_LOCK": "0",
}
OPTIONS = (
    *("--quiet", "--register=no", "--keep-unit"),
    *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
)


def run(
    group: Path, machine: str, root: Path, *options: str, command: list[str], log: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as PID 1 of a container and wait for its end; it prints to the log, or where we print."""
    argv = ["systemd-nspawn", *OPTIONS, f"--machine={machine}", f"--directory={root}", *options, *command]
    with (log or Path(os.devnull)).open("w") as out:
        return subprocess.run(
            argv,
            env={**os.environ, **ENVIRONMENT},
            preexec_fn=lambda: cgroup.enter(group),
            stdin=subprocess.DEVNULL,
            stdout=out if log else None,
            stderr=out if log else None,
            text=True,
            check=False,
        )
