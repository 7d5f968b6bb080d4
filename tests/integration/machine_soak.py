# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power cuts at random: `python -m integration.machine_soak SEEDS`, a number or FIRST-LAST.

Each seed is a deploy to a virtual machine whose power is lost in some state of the deployment, a moment after it was
reached; a boot, what must hold then, and another deploy. The disk loses what was not flushed: all of it, or what it
happened not to have written.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from integration.faulting import build, deploying, is_whole, last_record
from integration.machines import STATES, boots_what_it_should, wait_for_state
from integration.playing import PATIENT, outcomes, systems

from lab import Lab, Machine

LOADERS = 2
LIMIT = 600


@dataclass(frozen=True)
class Cut:
    """What a seed stands for."""

    state: str
    delay: float
    eager: float
    faults: tuple[str, str]

    @classmethod
    def of(cls, seed: int) -> Cut:
        # Each state in turn, on each machine.
        chance = random.Random(seed)
        state = STATES[seed // LOADERS % len(STATES)]
        faults = chance.choice((("new-kernel", ""), ("", "new-units")))
        return cls(state, chance.uniform(0, 3) ** 2 / 3, chance.choice((0.0, 0.02, 0.5)), faults)

    @property
    def confirmed(self) -> bool:
        """Whether anybody confirms the new system; where it is cut off before, nobody ever does."""
        return STATES.index(self.state) >= STATES.index("confirmed")

    def __str__(self) -> str:
        kept = f"a write in {1 / self.eager:.0f} writes back" if self.eager else "nothing is written back"
        return f"{self.state} + {self.delay:.2f} s, {kept}"


def attempt(lab: Lab, machine: Machine, cut: Cut) -> str:
    """One seed; which system the machine booted."""
    before = systems(machine).boot_default
    # One has files that /boot has not.
    new = next(system for fault in cut.faults if (system := build(machine, fault)) != before)
    known = set(outcomes(machine))
    machine.lose_writes(cut.eager)
    with deploying(lab, machine, new, confirm=cut.confirmed, limits=PATIENT) as deployment:
        wait_for_state(machine, cut.state, len(known))
        time.sleep(cut.delay)
        told = deployment.process.poll() == 0 and cut.confirmed
        machine.power_off()
        deployment.kill()
        said = deployment.output
    machine.lose_writes(0)
    machine.power_on()
    now = systems(machine)
    text = f"{now}\nbefore: {before}\nnew: {new}\n{last_record(machine)}\n{said}"
    assert now.running == now.booted, text
    assert now.booted in (before, new), text
    if told:
        assert now.booted == new, f"the controller had been told that it is committed\n{text}"
    if not cut.confirmed:
        assert now.booted == before, text
    forward = now.booted == new
    with deploying(lab, machine, new, limits=PATIENT) as again:
        assert again.end(LIMIT) == 0, f"{again.output}\n{text}"
    is_whole(machine, new, "committed", LIMIT)
    boots_what_it_should(machine)
    lost = {outcome for name, outcome in outcomes(machine).items() if name not in known}
    assert lost <= {"committed", "interrupted"}, f"{lost}\n{text}"
    return "the new system" if forward else "the previous system"


def on_machine(lab: Lab, machine: Machine, seeds: list[int]) -> Counter[str]:
    """Its seeds, one after the other; what it booted how often."""
    figures: Counter[str] = Counter()
    for seed in seeds:
        cut = Cut.of(seed)
        began = time.monotonic()
        try:
            if not machine.alive:
                lab.reset([machine])
            booted = attempt(lab, machine, cut)
        except Exception:
            booted = "LOST"
            print(traceback.format_exc(), machine.logs()[-8000:], sep="\n", flush=True)
            # The next one begins with a new one.
            machine.power_off()
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
