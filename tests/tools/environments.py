# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual environments below .venv: one for each pair of ansible-core and Python, and two for the checks."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tools import pythons
from tools.shell import ROOT, Failed, must, say

# Which Pythons each ansible-core runs on, oldest first.
CORES = {
    "2.19": ("3.11", "3.12", "3.13"),
    "2.20": ("3.12", "3.13", "3.14"),
    "2.21": ("3.12", "3.13", "3.14"),
}


@dataclass(frozen=True)
class Pair:
    core: str
    python: str

    def __str__(self) -> str:
        return f"ansible-core {self.core} with Python {self.python}"


@dataclass(frozen=True)
class Environment:
    path: Path
    python: str

    @property
    def bin(self) -> Path:
        return self.path / "bin"

    def path_variable(self) -> str:
        """A PATH on which this environment's programs come first."""
        return os.pathsep.join([str(self.bin), os.environ.get("PATH", os.defpath)])


def pairs() -> tuple[list[Pair], list[Pair]]:
    """The pairs that this machine can test, newest last, and those for which it has no Python."""
    there = pythons.find()
    every = [Pair(core, python) for core, on in CORES.items() for python in on]
    possible = [pair for pair in every if pair.python in there]
    if not possible:
        raise Failed("There is no Python 3.11 or newer here.")
    return possible, [pair for pair in every if pair.python not in there]


def newest() -> Pair:
    return pairs()[0][-1]


def for_tests(pair: Pair) -> Environment:
    return _environment(f"core{pair.core}-py{pair.python}", pair.python, [_core(pair), *group("test")])


def for_checks() -> Environment:
    pair = newest()
    return _environment("lint", pair.python, [_core(pair), *group("lint")])


def for_importer() -> Environment:
    """galaxy-importer holds back packages that the other checks want new."""
    pair = newest()
    return _environment("importer", pair.python, [_core(pair), *group("importer")])


def for_the_command(pair: Pair) -> Environment:
    """What the wheel needs, without the wheel."""
    return _environment(f"command{pair.core}-py{pair.python}", pair.python, [_core(pair), *_dependencies()])


def for_builder() -> Environment:
    return _environment("builder", newest().python, group("builder"))


def for_plots() -> Environment:
    return _environment("plots", newest().python, group("plots"))


def _dependencies() -> list[str]:
    dependencies: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return dependencies


def group(name: str) -> list[str]:
    """The requirements of a dependency group of pyproject.toml."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    requirements: list[str] = []
    for entry in groups[name]:
        requirements += group(entry["include-group"]) if isinstance(entry, dict) else [entry]
    return requirements


def _core(pair: Pair) -> str:
    return f"ansible-core ~= {pair.core}.0"


def _environment(name: str, python: str, requirements: list[str]) -> Environment:
    """Make an environment, or use the one there is if it was made complete and for the same requirements."""
    # An environment works only in the place that it was made for. Where .venv is a link, several trees share it.
    place = (ROOT / ".venv").resolve() / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _made(Environment(place, python), requirements)


def _made(environment: Environment, requirements: list[str]) -> Environment:
    python, name = environment.python, environment.path.name
    interpreter = pythons.find()[python]
    stamp = environment.path / "made-for"
    made_for = hashlib.sha256(json.dumps([str(environment.path), str(interpreter), requirements]).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == made_for:
        return environment
    say(f"making the environment .venv/{name} (Python {python}; {', '.join(requirements)})")
    pythons.ready_for_venv(interpreter, python)
    shutil.rmtree(environment.path, ignore_errors=True)
    must([interpreter, "-m", "venv", environment.path])
    must([environment.bin / "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
    stamp.write_text(made_for)
    return environment
