# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make soak SEEDS=100`: deploys with a random fault each, on three hosts of the lab. SEEDS may be 40-60 as well."""

from __future__ import annotations

import os

from tools import collection, environments
from tools.shell import ROOT, run, say


def soak() -> list[str]:
    environment = environments.for_tests(environments.newest())
    collection.install(environment)
    seeds = os.environ.get("SEEDS", "100")
    env = {
        "ANSIBLE_COLLECTIONS_PATH": str(collection.COLLECTIONS),
        "PATH": environment.path_variable(),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(collection.COLLECTIONS)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    say(f"soak, seeds {seeds}")
    done = run([environment.bin / "python", "-m", "integration.soaking", seeds], env=env)
    return [] if done else ["soak"]
