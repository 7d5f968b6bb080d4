# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""git as a program that talks to a server: it asks nobody anything, and all of it ends within a limit."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def run(directory: Path, environment: Mapping[str, str], limit: float, *arguments: str) -> tuple[int, list[str]]:
    """What it ended with, and the lines that it said.

    subprocess.TimeoutExpired after `limit` seconds, FileNotFoundError where there is no git.
    """
    process = subprocess.Popen(
        ["git", "-C", os.fspath(directory), *arguments],
        env={**environment, "SSH_ASKPASS_REQUIRE": "never"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Without a terminal ssh asks nobody; and all of it can be ended.
        start_new_session=True,
    )
    try:
        _output, errors = process.communicate(timeout=limit)
    except BaseException:
        # git may have ended, and what it has started goes on.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
