# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench` and `make bench-scale`: how long a deploy takes, on hosts of the lab.

HOSTS="1 4" and REPEAT=3 make it shorter. What is measured goes to .build/bench.json, and with the full set of hosts to
bench/results.json and docs/bench.svg as well.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tools import collection, environments
from tools.environments import Environment
from tools.shell import BUILD, ROOT, must, need_programs, run, say

RESULTS = BUILD / "bench.json"
KEPT = ROOT / "bench" / "results.json"
SCALE_KEPT = ROOT / "bench" / "scale.json"
PICTURE = ROOT / "docs" / "bench.svg"
HOSTS = "1 4 16 32"
NAMES = "50 150 500"
REPEAT = "5"
PROGRAMS = {"ssh": "openssh-client", "tar": "tar"}


def bench() -> list[str]:
    """Measure, and draw."""
    hosts = os.environ.get("HOSTS", HOSTS)
    if not _measure(RESULTS, ["--repeat", os.environ.get("REPEAT", REPEAT), "--hosts", *hosts.split()]):
        return ["bench"]
    picture = BUILD / PICTURE.name
    must([environments.for_plots().bin / "python", ROOT / "bench" / "plot.py", RESULTS, picture])
    say(f"drawn: {picture.relative_to(ROOT)}")
    if hosts == HOSTS:
        shutil.copyfile(RESULTS, KEPT)
        shutil.copyfile(picture, PICTURE)
        say(f"kept: {KEPT.relative_to(ROOT)} and {PICTURE.relative_to(ROOT)}")
    return []


def bench_scale() -> list[str]:
    """Measure with many names for few hosts."""
    names = os.environ.get("NAMES", NAMES)
    if not _measure(BUILD / "scale.json", ["--scale", *names.split()]):
        return ["bench-scale"]
    if names == NAMES:
        shutil.copyfile(BUILD / "scale.json", SCALE_KEPT)
    return []


def _measure(results: Path, arguments: list[str]) -> bool:
    need_programs(PROGRAMS)
    environment = environments.for_tests(environments.newest())
    collection.install(environment)
    command = _install_command(environment)
    env = {
        "PATH": environment.path_variable(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    ours: list[str | Path] = ["--collections", collection.COLLECTIONS, "--command", command, "--results", results]
    return run([environment.bin / "python", "-m", "bench", *ours, *arguments], env=env)


def _install_command(environment: Environment) -> Path:
    """The wheel, in an environment with the same ansible-core."""
    wheels = BUILD / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    must([environment.bin / "python", "-m", "hatchling", "build", "--target", "wheel", "--directory", wheels])
    (wheel,) = wheels.glob("*.whl")
    installed = environments.for_the_command(environments.newest())
    must([installed.bin / "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel])
    return installed.bin / "deploy-flake"
