# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: the example flake on three hosts of the lab."""

from __future__ import annotations

from pathlib import Path

from tools import collection, environments
from tools.shell import ROOT, Failed, output, run, say


def demo() -> list[str]:
    environment = environments.for_tests(environments.newest())
    collection.install(environment)
    lab = ROOT / "tests/lab/lab"
    if not run([lab, "up", "3"]):
        raise Failed("The lab did not start.")
    inventory = output([lab, "inventory"]).strip()
    playbook: list[str | Path] = [
        environment.bin / "ansible-playbook",
        "--inventory",
        inventory,
        ROOT / "examples/demo.yml",
    ]
    env = {"ANSIBLE_COLLECTIONS_PATH": str(collection.COLLECTIONS), "PATH": environment.path_variable()}
    for title in ("the first deploy", "the same again: nothing to do, nothing changed"):
        say(title)
        if not run(playbook, env=env):
            return [f"the demo: {title}"]
    say(f"the hosts stay up: try `{lab.relative_to(ROOT)} ssh host1`, and `{lab.relative_to(ROOT)} down` to end them")
    return []
