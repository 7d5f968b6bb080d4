# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the Python interpreters of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tools.shell import install_packages

VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def pyenv_root() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


@cache
def find() -> dict[str, Path]:
    """The real path of an interpreter for each version that there is, oldest first."""
    found = {}
    for version in VERSIONS:
        for candidate in _candidates(version):
            interpreter = _real_path(candidate, version)
            if interpreter:
                found[version] = interpreter
                break
    return found


def ready_for_venv(interpreter: Path, version: str) -> None:
    """Debian keeps a part of Python's venv module in a package of its own."""
    if subprocess.run([interpreter, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode:
        install_packages([f"python{version}-venv"])


def _candidates(version: str) -> list[Path]:
    on_path = shutil.which(f"python{version}")
    of_pyenv = sorted(
        pyenv_root().glob(f"versions/{version}.*/bin/python{version}"),
        key=lambda path: _patch_level(path, version),
        reverse=True,
    )
    return [*([Path(on_path)] if on_path else []), *of_pyenv]


def _patch_level(path: Path, version: str) -> int:
    patch = path.parents[1].name.removeprefix(f"{version}.")
    return int(patch) if patch.isdigit() else -1


def _real_path(candidate: Path, version: str) -> Path | None:
    """What runs behind a candidate: pyenv's shims are scripts, and one whose Python is switched off fails."""
    result = subprocess.run(
        [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2]); print(sys._base_executable)"],
        capture_output=True,
        check=False,
        text=True,
    )
    lines = result.stdout.splitlines()
    return Path(lines[1]) if result.returncode == 0 and lines[:1] == [version] else None
