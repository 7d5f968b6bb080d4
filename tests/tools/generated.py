# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that are made from others and are in git all the same. Making them needs packages that the checks have."""

from __future__ import annotations

from pathlib import Path

from tools.environments import Environment
from tools.shell import ROOT, run

MAKERS = ("options", "returns")
"""The modules of this package that make some. Each says what is out of date, or with `generate` writes it."""


def check(environment: Environment, _tree: Path) -> bool:
    """Whether all are as they would be made now."""
    return _run(environment)


def write(environment: Environment) -> bool:
    return _run(environment, "generate")


def _run(environment: Environment, *arguments: str) -> bool:
    python = environment.bin / "python"
    env = {"PYTHONPATH": str(ROOT / "tests")}
    failed = [maker for maker in MAKERS if not run([python, "-m", f"tools.{maker}", *arguments], env=env)]
    return not failed
