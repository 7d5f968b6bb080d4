# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs pytest, with each pair of ansible-core and Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tools import collection, coverage, environments
from tools.environments import Pair
from tools.shell import ROOT, need_programs, run, say

# The scripts that run on a host are tried under the first two of these shells too, and the others complete words.
# The lab is reached with ssh.
SHELLS = {shell: shell for shell in ("busybox", "dash", "fish", "zsh")}
PROGRAMS = {**SHELLS, "shellcheck": "shellcheck", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}

# A second lab, beside the one that is used where none is named.
OTHER_LAB = "/var/cache/deploy-flake-lab-2"

UNIT = "tests/unit"
INTEGRATION = "tests/integration"
# The newest pair's integration tests of these files run in the other lab: so both take about as long.
BESIDE = ("test_command*.py", "test_fault_emergency.py", "test_l*.py", "test_s*.py")


def beside_the_newest_pair() -> list[str]:
    """What `newest_pair` leaves: every other pair, and some of the newest pair's integration tests."""
    files = [str(file.relative_to(ROOT)) for beside in BESIDE for file in sorted((ROOT / INTEGRATION).glob(beside))]
    return other_pairs() + _pytest(environments.newest(), files, lab=OTHER_LAB)


def other_pairs() -> list[str]:
    """The unit tests with every pair but the newest, and the core integration tests; say what failed.

    Without pytest-ansible, as all will have to run once it is no more. They have a lab of their own:
    the newest pair's tests may be running in the other.
    """
    possible, impossible = environments.pairs()
    for pair in impossible:
        say(f"skipped: {pair}: no such Python here")
    *others, newest = possible
    failed = []
    cores: set[str] = set()
    for pair in others:
        failed += _pytest(pair, ["-m", "not shell", UNIT, f"--ignore={UNIT}/tools"], plugin=False)
        # Of each ansible-core, with the oldest Python.
        if pair.core not in {*cores, newest.core}:
            failed += _pytest(pair, ["-m", "core", INTEGRATION], plugin=False, lab=OTHER_LAB)
        cores.add(pair.core)
    return failed


def newest_pair() -> list[str]:
    """All tests with the newest pair but those that run beside it."""
    newest = environments.newest()
    ignored = [f"--ignore-glob=*/{beside}" for beside in BESIDE]
    return _pytest(newest, [UNIT], measured=True) + _pytest(newest, [INTEGRATION, *ignored])


def unit(pair: Pair) -> list[str]:
    return _pytest(pair, [UNIT], plugin=False) + _pytest(pair, [UNIT], measured=True)


def integration(pair: Pair) -> list[str]:
    return _pytest(pair, [INTEGRATION])


def _pytest(
    pair: Pair, arguments: Sequence[str], *, plugin: bool = True, measured: bool = False, lab: str = ""
) -> list[str]:
    need_programs(PROGRAMS)
    environment = environments.for_tests(pair)
    collection.install(environment)
    title = f"pytest {' '.join(arguments)}, {pair}{'' if plugin else ', without pytest-ansible'}"
    say(title)
    options = ["--ansible-unit-inject-only"] if plugin else ["-p", "no:pytest-ansible"]
    # What to look at when the whole takes too long.
    options += ["--durations=20", "--durations-min=10"]
    env = {
        "ANSIBLE_COLLECTIONS_PATH": str(collection.COLLECTIONS),
        # ansible-runner and the tests start ansible-playbook by name.
        "PATH": environment.path_variable(),
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"DEPLOY_FLAKE_LAB_DIR": lab} if lab else {}),
    }
    python: list[str | Path] = [environment.bin / "python", "-m", *(coverage.RUN if measured else []), "pytest"]
    failed = [] if run([*python, *options, *arguments], cwd=ROOT, env=env) else [title]
    return failed + (coverage.report(environment) if measured else [])
