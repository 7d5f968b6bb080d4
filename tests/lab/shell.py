# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands, and saying what the lab does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence


class LabError(Exception):
    """The lab cannot do what was asked; the message is one line for a person."""


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def sh(*argv: str | os.PathLike[str], stdin: str | None = None, check: bool = True) -> str:
    """Run a command of this machine and return what it printed."""
    try:
        done = subprocess.run(argv, input=stdin, text=True, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed") from error
    if check and done.returncode:
        message = " ".join((done.stderr or done.stdout).split()) or "no message"
        raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {message}")
    return done.stdout


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    timeout: float | None = None,
    check: bool = False,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Like subprocess.run, but a time-out ends the command's children as well.

    Without that, what nsenter started inside a host would live on and hold the pipes open.
    """
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(stdin, timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    done = subprocess.CompletedProcess(argv, process.returncode, out, err)
    if check and done.returncode:
        raise LabError(f"{argv[-1]}: exit {done.returncode}: {err.strip() or out.strip()}")
    return done
