# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power cuts at random: `python -m integration.machine_soak SEEDS`, a number or FIRST-LAST.

Each seed is a deploy to a virtual machine whose power is lost in some state of the deployment, a moment after it was
reached; a boot, and what must hold then. The disk loses what was not flushed: all of it, or what it happened not to
have written. Most seeds go on from a machine that was saved in a deployment, and are confirmed by the lab: what had
been written by then is on the disk. The others are whole deploys, with another one behind them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from integration.faulting import build, deploying, is_whole, state
from integration.machines import STATES, boots_what_it_should, only, wait_for_state
from integration.playing import PATIENT, systems

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import scripts
from lab import Lab, Machine

LOADERS = 2
LIMIT = 600
# One has a file that /boot has not; the other one has it in common with the previous system.
FAULTS = ("new-kernel", "new-units")
# Where a machine is saved: nothing is confirmed while the window is open.
POINTS = ("checking", "window")
CLOSURE = """
set -e
paths=$(nix-store --query --requisites /run/booted-system /nix/var/nix/profiles/system)
nix-store --verify-path $paths
"""


@dataclass(frozen=True)
class Cut:
    """What a seed stands for."""

    state: str
    delay: float
    eager: float
    fault: str
    whole: bool

    @classmethod
    def of(cls, seed: int) -> Cut:
        # Each state in turn, on each machine.
        chance = random.Random(seed)
        state = STATES[seed // LOADERS % len(STATES)]
        eager = chance.choice((0.0, 0.02, 0.5))
        return cls(state, chance.uniform(0, 3) ** 2 / 3, eager, chance.choice(FAULTS), chance.random() < 0.1)

    @property
    def confirmed(self) -> bool:
        """Whether anybody confirms the new system; where it is cut off before, nobody ever does."""
        return STATES.index(self.state) >= STATES.index("confirmed")

    @property
    def point(self) -> str:
        """From where it goes on."""
        return "window" if STATES.index(self.state) >= STATES.index("window") else "checking"

    def __str__(self) -> str:
        kept = f"a write in {1 / self.eager:.0f} writes back" if self.eager else "nothing is written back"
        return f"{self.state} + {self.delay:.2f} s of {self.fault}{', whole' * self.whole}, {kept}"


def save_points(lab: Lab, machine: Machine) -> dict[str, str]:
    """Save it at the points of a deployment of each fault; the system of each."""
    new = {}
    for fault in FAULTS:
        lab.reset([machine])
        new[fault] = build(machine, fault)
        limits = PATIENT | {"confirm": 3600}
        with deploying(lab, machine, new[fault], confirm=False, limits=limits) as deployment:
            for point in POINTS:
                wait_for_state(machine, point)
                assert state(machine), deployment.output
                machine.save(f"{fault}-{point}")
                print(f"{machine.name} is saved, {state(machine)} with {fault}", flush=True)
    return new


def outcomes(machine: Machine) -> set[str]:
    """What the record says; a line that the cut has left half is none."""
    found = set()
    for line in machine.run("cat /var/lib/deploy-flake/deployments.jsonl || true").stdout.splitlines():
        with contextlib.suppress(ValueError):
            found.add(json.loads(line.strip("\0"))["outcome"])
    return found


def attempt(lab: Lab, machine: Machine, cut: Cut, new: str) -> str:
    """One seed; which system the machine booted."""
    before, told, said = (_whole if cut.whole else _from_point)(lab, machine, cut, new)
    machine.lose_writes(0)
    machine.power_on()
    now, ended = systems(machine), outcomes(machine)
    text = f"{now}\nbefore: {before}\nnew: {new}\n{ended}\n{said}"
    # The next deployment finishes it.
    half = replace(only(before), boot_default=new)
    assert now in (only(before), only(new), *([half] if cut.confirmed else [])), text
    if told:
        assert now == only(new) and ended == {"committed"}, f"it had been told that it is committed\n{text}"
    assert cut.confirmed or now == only(before), text
    assert ended <= {"committed", "interrupted"}, text
    if now != half:
        boots_what_it_should(machine)
    machine.run(CLOSURE, check=True, timeout=LIMIT)
    if cut.whole or now == half:
        with deploying(lab, machine, new, limits=PATIENT) as again:
            assert again.end(LIMIT) == 0, f"{again.output}\n{text}"
        is_whole(machine, new, "committed", LIMIT)
        boots_what_it_should(machine)
    if now == half:
        return "the previous system, and then the new one"
    return "the new system" if now == only(new) else "the previous system"


def _whole(lab: Lab, machine: Machine, cut: Cut, new: str) -> tuple[str, bool, str]:
    """The previous system, whether the controller had been told that the new one is committed, and what it said."""
    lab.reset([machine])
    before = systems(machine).boot_default
    machine.lose_writes(cut.eager)
    assert build(machine, cut.fault) == new
    with deploying(lab, machine, new, confirm=cut.confirmed, limits=PATIENT) as deployment:
        wait_for_state(machine, cut.state)
        time.sleep(cut.delay)
        told = deployment.process.poll() == 0 and cut.confirmed
        machine.power_off()
        deployment.kill()
        return before, told, deployment.output


def _from_point(_lab: Lab, machine: Machine, cut: Cut, new: str) -> tuple[str, bool, str]:
    """The same, from a point that was saved; told is whoever looks, and nobody says anything."""
    machine.return_to(f"{cut.fault}-{cut.point}")
    before = systems(machine).boot_default
    machine.lose_writes(cut.eager)
    if cut.confirmed:
        name = machine.run("cd /run/deploy-flake && echo *-*", check=True).stdout.strip()
        wanted = {"id": name, "from": "", "meant": new, "known": "window", "awaited": "", "patience": "1", "quiet": "0"}
        machine.run("cat >/run/lab-confirm", stdin=scripts.command("confirm", wanted), check=True)
        machine.run("sh /run/lab-confirm >/run/lab-confirmed 2>&1 </dev/null &", check=True)
    wait_for_state(machine, cut.state)
    time.sleep(cut.delay)
    # Its directory is gone when it has ended.
    told = cut.confirmed and state(machine) in ("committed", "")
    machine.power_off()
    return before, told, ""


def on_machine(lab: Lab, machine: Machine, seeds: list[int]) -> Counter[str]:
    """Its seeds, one after the other; what it booted how often."""
    figures: Counter[str] = Counter()
    new = save_points(lab, machine)
    for seed in seeds:
        cut = Cut.of(seed)
        began = time.monotonic()
        try:
            booted = attempt(lab, machine, cut, new[cut.fault])
        except Exception:
            booted = "LOST"
            print(traceback.format_exc(), machine.logs()[-8000:], sep="\n", flush=True)
        figures[booted] += 1
        took = time.monotonic() - began
        print(f"seed {seed}, {machine.loader.name}: {cut}: {booted} ({took:.0f} s)", flush=True)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="machine_soak")
    parser.add_argument("seeds", metavar="SEEDS")
    first, _dash, last = parser.parse_args().seeds.rpartition("-")
    seeds = range(int(first or 1), int(last) + 1)
    lab = Lab()
    lab.up(0, machines=LOADERS)
    machines = [host for host in lab.hosts.values() if isinstance(host, Machine)]
    turns = {machine: [seed for seed in seeds if seed % LOADERS == n] for n, machine in enumerate(machines)}
    with ThreadPoolExecutor(LOADERS) as pool:
        parts = [pool.submit(on_machine, lab, machine, turn) for machine, turn in turns.items()]
        figures = sum((part.result() for part in parts), Counter[str]())
    print(", ".join(f"{count} {what}" for what, count in sorted(figures.items())))
    return 1 if figures["LOST"] else 0


if __name__ == "__main__":
    sys.exit(main())
