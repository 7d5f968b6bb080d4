# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: the example flake on three hosts of the lab."""

from __future__ import annotations

import re

from tools import collection, environments
from tools.environments import Environment
from tools.shell import BUILD, ROOT, Failed, output, run, say

LAB = ROOT / "tests/lab/lab"
LOG = BUILD / "demo.log"


def demo() -> list[str]:
    environment = environments.for_tests(environments.newest())
    collection.install(environment)
    say("three hosts, as new")
    if not (run([LAB, "down"]) and run([LAB, "up", "3"])):
        raise Failed("The lab did not start.")
    inventory = output([LAB, "inventory"]).strip()

    say("the first deploy")
    if not _deploy(environment, inventory):
        return ["the first deploy"]
    say("the second deploy, of the same flake")
    if not _deploy(environment, inventory):
        return ["the second deploy"]
    if changed := re.findall(r"changed=[1-9].*", LOG.read_text()):
        return [f"the second deploy changed something: {changed}"]

    say("the second deploy changed nothing")
    here = LAB.relative_to(ROOT)
    say(f"the hosts stay up: log in with `{here} ssh host1`, end them with `{here} down`")
    return []


def _deploy(environment: Environment, inventory: str) -> bool:
    LOG.unlink(missing_ok=True)
    env = {
        "ANSIBLE_COLLECTIONS_PATH": str(collection.COLLECTIONS),
        "ANSIBLE_LOG_PATH": str(LOG),
        "PATH": environment.path_variable(),
    }
    command = ["ansible-playbook", "-i", inventory, "-e", "deploy_flake_flake=./examples/flake"]
    command += ["deploy_flake.nixos.deploy", "examples/show.yml"]
    say(" ".join(command))
    return run([environment.bin / command[0], *command[1:]], env=env)
