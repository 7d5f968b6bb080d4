# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs pytest, with each pair of ansible-core and Python."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools import collection, coverage, environments
from tools.environments import Pair
from tools.shell import BUILD, COMPILED_ONCE, ROOT, Background, need_programs, run, say

# The scripts that run on a host are tried under the first two of these shells too, and the others complete words.
# The lab is reached with ssh.
SHELLS = {shell: shell for shell in ("busybox", "dash", "fish", "zsh")}
PROGRAMS = {**SHELLS, "shellcheck": "shellcheck", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}

UNIT = "tests/unit"
INTEGRATION = "tests/integration"
MACHINES = (f"{INTEGRATION}/test_machine.py", f"{INTEGRATION}/test_install.py")

# Labs beside the one that is used where none is named: those of the other workers, as tests/integration/conftest.py
# names them, and two more.
LAB = "/var/cache/deploy-flake-lab"
WORKERS = 3
CORE_LAB = f"{LAB}-core"
MACHINES_LAB = f"{LAB}-vm"
OTHER_LABS = (*(f"{LAB}-{number}" for number in range(2, WORKERS + 1)), CORE_LAB, MACHINES_LAB)


def integration() -> list[str]:
    """The newest pair's integration tests, which wait most of the time, so several labs are at work."""
    workers = ["-n", str(WORKERS), "--dist", "loadfile", "--no-loadscope-reorder"]
    # Sockets are made below it, and their paths may have a hundred characters; workers make it longer.
    temporary = tempfile.mkdtemp(prefix="labs-", dir="/tmp")
    try:
        arguments = [*workers, f"--basetemp={temporary}", INTEGRATION, *(f"--ignore={each}" for each in MACHINES)]
        if not (failed := _pytest(environments.newest(), arguments)):
            shutil.rmtree(temporary, ignore_errors=True)
        return failed
    except KeyboardInterrupt:
        # Workers are ended as they are, and stop no lab.
        stop_labs()
        raise


def stop_labs() -> bool:
    """All that tests use, and no other one."""
    labs: list[dict[str, str]] = [{}, *({"DEPLOY_FLAKE_LAB_DIR": lab} for lab in OTHER_LABS)]
    return all(run([ROOT / "tests/lab/lab", "down"], env=lab) for lab in labs)


def on_machines(*, long: bool = False) -> list[str]:
    """The newest pair's tests on virtual machines, on both beside one another; without `long` the short ones."""
    if failed := machines_up():
        _lab_of_machines("down")
        return failed
    target = f"on-systemd-boot{'-long' if long else ''}"
    with Background([sys.executable, "-m", "tools", target], BUILD / f"{target}.log") as beside:
        failed = on_machine("grub", long=long)
        failed += [] if beside.follow() else ["the tests on a machine with systemd-boot"]
    _lab_of_machines("down")
    return failed


def machines_up() -> list[str]:
    """One of each boot loader, its image made and booted for the first time."""
    return [] if _lab_of_machines("up", "--vm", "2") else ["starting virtual machines"]


def _lab_of_machines(*arguments: str) -> bool:
    return run([ROOT / "tests/lab/lab", *arguments], env={"DEPLOY_FLAKE_LAB_DIR": MACHINES_LAB})


def on_machine(loader: str, *, long: bool = False) -> list[str]:
    """Those on the machine with this boot loader."""
    return _pytest(
        environments.newest(), [*MACHINES, "-k", loader, *([] if long else ["-m", "not long"])], lab=MACHINES_LAB
    )


def beside_the_integration_tests() -> list[str]:
    """The unit tests with the newest pair and the oldest Python of each other core; the core tests with the oldest."""
    newest, oldest, others = _pairs()
    for pair in others:
        say(f"left to `make pairs`: {pair}")
    failed = _pytest(newest, [UNIT], measured=True)
    for pair in oldest:
        failed += _with_another(pair)
    # What is between the oldest and the newest is left to `make pairs`: it takes as long as all of its unit tests.
    for pair in oldest[1:]:
        say(f"left to `make pairs`: the core tests with {pair}")
    for pair in oldest[:1]:
        failed += _core(pair)
    return failed


def with_other_pairs() -> list[str]:
    """The unit tests with each pair for which nothing else runs them, and so the core tests with each core."""
    _newest, oldest, others = _pairs()
    failed = [title for pair in oldest[1:] for title in _core(pair)]
    return failed + [title for pair in others for title in _with_another(pair)]


def _core(pair: Pair) -> list[str]:
    return _pytest(pair, ["-m", "core", INTEGRATION], plugin=False, lab=CORE_LAB)


def _pairs() -> tuple[Pair, list[Pair], list[Pair]]:
    """The newest, those with the oldest Python of each other ansible-core, and the others; say which are not here."""
    possible, impossible = environments.pairs()
    for pair in impossible:
        say(f"skipped: {pair}: no such Python here")
    *rest, newest = possible
    oldest = list({pair.core: pair for pair in reversed(rest) if pair.core != newest.core}.values())[::-1]
    return newest, oldest, [pair for pair in rest if pair not in oldest]


def _with_another(pair: Pair) -> list[str]:
    """Without pytest-ansible, as all will have to run once it is no more."""
    # Two at once: it is the longest of all that runs beside each other, and has the machine to itself in the end.
    # No host has either Ansible or Python.
    ignored = [f"--ignore={UNIT}/{name}" for name in ("tools", "plugins/plugin_utils/_sh")]
    return _pytest(pair, ["-n", "2", "-m", "not shell", UNIT, *ignored], plugin=False)


def unit(pair: Pair) -> list[str]:
    return _pytest(pair, [UNIT], plugin=False) + _pytest(pair, [UNIT], measured=True)


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
        **COMPILED_ONCE,
        **({"DEPLOY_FLAKE_LAB_DIR": lab} if lab else {}),
        **(coverage.ENVIRONMENT if measured else {}),
    }
    if measured:
        coverage.forget()
    python: list[str | Path] = [environment.bin / "python", "-m", *(coverage.RUN if measured else []), "pytest"]
    failed = [] if run([*python, *options, *arguments], cwd=ROOT, env=env) else [title]
    return failed + (coverage.report(environment) if measured else [])
