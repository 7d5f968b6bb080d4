# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the controller's memory and its time for a host stay flat with more and more hosts.

A few hosts of the lab play many: each has many names in the inventory. The deploys change nothing, since a host lets
only one deployment at a time change it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import yaml

from bench.contenders import FORKS, Playbook
from bench.fleet import Fleet
from bench.process import Broken, run
from lab import Lab

PLAYERS = 4
BATCHES = (0, 50)
"""`serial`: all at once, and so many at a time."""
_MIB_FOR_A_NAME = 1.5
"""The peak of memory may grow by so much for each name in a batch, from the first size to the last."""


def measure_scale(playbook: Playbook, lab: Lab, sizes: Sequence[int], directory: Path) -> list[dict[str, Any]]:
    """Deploy nothing new to so many names, once for each size and batch."""
    fleet = Fleet(lab, PLAYERS, directory)
    fleet.change("first", "scale")
    playbook.deploy(fleet, 0, "first")
    measured = []
    print(f"{'names':>6} {'serial':>6} {'seconds':>8} {'s/host':>7} {'CPU s/host':>10} {'peak MiB':>9}", flush=True)
    for serial in BATCHES:
        for size in sizes:
            inventory = _inventory(fleet, size)
            command = [*playbook.command(fleet, directory), "-e", f"deploy_flake_serial={serial}"]
            command[command.index(lab.inventory)] = inventory
            del command[command.index("--limit") : command.index("--limit") + 2]
            used = run(command, playbook.environment(directory), directory, directory / "scale.log")
            _insist(directory / "scale.log", size)
            memory = round((used.memory or 0) / (1 << 20))
            measured.append(
                {
                    "names": size,
                    "serial": serial,
                    "forks": FORKS,
                    "seconds": round(used.seconds, 1),
                    "seconds_per_host": round(used.seconds / size, 3),
                    "cpu_per_host": round(used.cpu / size, 3),
                    "memory_mib": memory,
                }
            )
            each = measured[-1]
            print(
                f"{size:>6} {serial:>6} {used.seconds:>8.1f} {each['seconds_per_host']:>7} {each['cpu_per_host']:>10}"
                f" {memory:>9}",
                flush=True,
            )
        _insist_on_memory(measured[-len(sizes) :])
    return measured


def _inventory(fleet: Fleet, size: int) -> Path:
    known = yaml.safe_load(fleet.lab.inventory.read_text(encoding="utf-8"))["nixos"]["hosts"]
    hosts = {}
    for number in range(size):
        host = fleet.hosts[number % len(fleet.hosts)]
        # A build of its own for each name, as it is with as many hosts: the arguments are what tells one from another.
        own = ["--option", "connect-timeout", str(1000 + number)]
        variables = {"deploy_flake_configuration": host.name, "deploy_flake_build_args": own}
        hosts[f"name{number}"] = known[host.name] | variables
    file = fleet.directory / f"{size}.json"
    file.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    return file


def _insist(log: Path, size: int) -> None:
    """Every name was dealt with, and nothing was changed."""
    # One task for each; the first of a batch looks at the variables as well.
    recap = log.read_text(encoding="utf-8").partition("PLAY RECAP")[2]
    unchanged = re.compile(r"name\d+ +: ok=[12] +changed=0 +unreachable=0 +failed=0 .*")
    well = [line for line in recap.splitlines() if unchanged.fullmatch(line)]
    if len(well) != size:
        raise Broken(f"{len(well)} of {size} names were dealt with and unchanged:{recap}")


def _insist_on_memory(measured: Sequence[Mapping[str, Any]]) -> None:
    """It hardly grows with the names: what is kept of each is little."""
    first, last = (least(measured, key=itemgetter("names")) for least in (min, max))
    grown = last["memory_mib"] - first["memory_mib"]
    if grown > _MIB_FOR_A_NAME * (last["names"] - first["names"]):
        raise Broken(
            f"{grown} MiB more for {last['names']} names than for {first['names']}, at {first['serial']} a batch"
        )
