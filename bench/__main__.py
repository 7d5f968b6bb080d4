# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench`: see --help."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import nix
from bench.contenders import Command, Contender, Floor, Playbook, peers
from bench.evaluation import rounds_for
from bench.figures import Figures
from bench.fleet import BARE, KINDS, Fleet
from bench.measurement import Measurement
from bench.process import Broken
from bench.scale import PLAYERS, measure_scale
from bench.weight import heavy
from lab import Lab, LabError

COUNTED_ON = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measures deploys to hosts of the lab.")
    parser.add_argument("--hosts", type=int, nargs="*", default=[], metavar="N", help="how many hosts, each")
    parser.add_argument("--repeat", type=int, default=5, help="rounds beside the one that warms up")
    parser.add_argument("--evaluation", type=float, default=0, metavar="S", help="how long a host's evaluation takes")
    parser.add_argument("--scale", type=int, nargs="*", default=[], metavar="N", help="how many names, for bench-scale")
    parser.add_argument("--collections", required=True, help="where the collection is installed")
    parser.add_argument("--command", type=Path, required=True, help="the installed deploy-flake")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="where peers were built; they get the hosts' Nix")
    parser.add_argument("--results", type=Path, required=True, help="the JSON file to write")
    chosen = parser.parse_args()
    # What is put back at the end, is so whoever ends it.
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, _end)
    figures = Figures(evaluation=chosen.evaluation)
    lab = Lab()
    try:
        # No more hosts than are measured at first, which would take their part of the machine.
        lab.up(min(chosen.hosts, default=PLAYERS))
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            figures.weight = stack.enter_context(heavy(lab))
            programs = stack.enter_context(nix.of_the_hosts(lab, directory / "nix")) if chosen.peers else None
            if chosen.hosts:
                _measure(chosen, lab, directory, [*_ours(chosen), *peers(chosen.peers, programs)], figures)
            if chosen.scale:
                lab.up(PLAYERS)
                figures.scale = measure_scale(_playbook(chosen), lab, chosen.scale, directory / "scale")
    except (Broken, LabError) as error:
        print(error, file=sys.stderr)
        return 1
    figures.write(chosen.results)
    print(f"\n{figures.tables()}" if chosen.hosts else "")
    print(f"\nwritten: {os.path.relpath(chosen.results)}")
    return 0


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _measure(
    chosen: argparse.Namespace, lab: Lab, directory: Path, contenders: list[Contender], figures: Figures
) -> None:
    figures.rounds = rounds_for(lab.hosts["host1"], chosen.evaluation)
    measurement = Measurement(contenders, BARE if chosen.evaluation else KINDS, chosen.repeat, figures)
    for size in sorted(chosen.hosts):
        lab.up(size)
        for _round in measurement.run(Fleet(lab, size, directory / str(size), figures.rounds)):
            # It takes long, and whoever ends it keeps what there is.
            figures.write(chosen.results)
    if not chosen.evaluation:
        lab.up(COUNTED_ON)
        measurement.count(Fleet(lab, COUNTED_ON, directory / "counted"))


def _ours(chosen: argparse.Namespace) -> list[Contender]:
    found: list[Contender] = [Floor(), _playbook(chosen), Command(chosen.command)]
    if chosen.evaluation:
        # Evaluating is what makes it worth while that one does it for all.
        found += [_playbook(chosen, one_builds=True), Command(chosen.command, one_builds=True)]
    return found


def _playbook(chosen: argparse.Namespace, *, one_builds: bool = False) -> Playbook:
    return Playbook(Path(sys.executable).parent, chosen.collections, one_builds=one_builds)


if __name__ == "__main__":
    sys.exit(main())
