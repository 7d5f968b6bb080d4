# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make soak SEEDS=100`: deploys with a random fault each, on three hosts of the lab. SEEDS may be 40-60 as well.

`make vm-soak SEEDS=20`: deploys with a power cut each, on two virtual machines.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from tools import collection, environments, suite
from tools.shell import COMPILED_ONCE, ROOT, run, say


def soak() -> list[str]:
    return _run("soak", "integration.soaking", "100")


def vm_soak() -> list[str]:
    """And the tests on machines that `make test` has no time for."""
    failed = suite.on_machines(long=True)
    return failed + _run("vm-soak", "integration.machine_soak", "20", {"DEPLOY_FLAKE_LAB_DIR": suite.MACHINES_LAB})


def _run(name: str, module: str, default: str, more: Mapping[str, str] | None = None) -> list[str]:
    environment = environments.for_tests(environments.newest())
    collection.install(environment)
    seeds = os.environ.get("SEEDS", default)
    env = {
        "ANSIBLE_COLLECTIONS_PATH": str(collection.COLLECTIONS),
        "PATH": environment.path_variable(),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(collection.COLLECTIONS)]),
        **COMPILED_ONCE,
        **(more or {}),
    }
    say(f"{name}, seeds {seeds}")
    done = run([environment.bin / "python", "-m", module, seeds], env=env)
    return [] if done else [name]
