# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the Python that is shipped the unit tests run, and the floors below which it may not fall."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

from tools.environments import Environment
from tools.shell import BUILD, ROOT, run, say

# Goes before what is measured: python -m coverage run -m ...
RUN = ("coverage", "run", "-m")
# Where pyproject.toml finds this checkout.
ENVIRONMENT = {"CHECKOUT": str(ROOT)}


def forget() -> None:
    """Forget what was measured before: each process leaves a file of its own."""
    shutil.rmtree(BUILD / "coverage", ignore_errors=True)


def report(environment: Environment) -> list[str]:
    """Show the table; say which floors of pyproject.toml it falls below."""
    say("coverage by the unit tests: the files that are not covered whole")
    python: list[str | Path] = [environment.bin / "python", "-m", "coverage"]
    # A process that a test killed leaves a file that cannot be read.
    run([*python, "combine", "--quiet"], env=ENVIRONMENT, quiet=True)
    program = [*python, "report"]
    failed = [] if run(program, env=ENVIRONMENT) else ["coverage of all files"]
    for pattern, floor in _floors().items():
        title = f"coverage of {pattern}, at least {floor} %"
        of_these = [*program, f"--include={pattern}", f"--fail-under={floor}", "--format=total"]
        if not run(of_these, env=ENVIRONMENT, quiet=True):
            failed.append(title)
    return failed


def _floors() -> dict[str, int]:
    """Beside the floor of the whole, one for each of the places where a mistake costs most."""
    floors: dict[str, int] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["deploy-flake"]["floors"]
    return floors
