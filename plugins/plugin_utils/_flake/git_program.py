# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""git as a program that talks to a server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from . import program


def run(directory: Path, environment: Mapping[str, str], limit: float, *arguments: str) -> tuple[int, list[str]]:
    """What it ended with, and the lines that it said.

    subprocess.TimeoutExpired after `limit` seconds, FileNotFoundError where there is no git.
    """
    command = ["git", "-C", os.fspath(directory), *arguments]
    status, _answer, said = program.run(command, environment, limit, subprocess.DEVNULL)
    return status, [line for line in said.splitlines() if line.strip()]
