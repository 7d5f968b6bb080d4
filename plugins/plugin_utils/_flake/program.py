# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of the controller that talk to servers: they ask nobody anything, and all they start ends within a limit."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    limit: float,
    output: BinaryIO | int = subprocess.PIPE,
    given: BinaryIO | int = subprocess.DEVNULL,
) -> tuple[int, bytes, str]:
    """What it ended with, what it answered, if that goes nowhere else, and what it said. `given` is what it reads.

    subprocess.TimeoutExpired after `limit` seconds, FileNotFoundError where there is no such program.
    """
    process = subprocess.Popen(
        command,
        env={**environment, "SSH_ASKPASS_REQUIRE": "never"},
        stdin=given,
        stdout=output,
        stderr=subprocess.PIPE,
        # Without a terminal ssh asks nobody; and all of it can be ended.
        start_new_session=True,
    )
    try:
        answer, errors = process.communicate(timeout=limit)
    except BaseException:
        # It may have ended, and what it has started goes on.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, answer or b"", errors.decode(errors="replace")
