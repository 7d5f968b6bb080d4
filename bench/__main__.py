# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench`: see --help."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from bench.contenders import Command, Contender, Floor, Playbook, peers
from bench.figures import Figures
from bench.fleet import Fleet
from bench.measurement import Measurement
from bench.process import Broken
from bench.scale import PLAYERS, measure_scale
from lab import Lab

COUNTED_ON = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measures deploys to hosts of the lab.")
    parser.add_argument("--hosts", type=int, nargs="*", default=[], metavar="N", help="how many hosts, each")
    parser.add_argument("--repeat", type=int, default=5, help="rounds beside the one that warms up")
    parser.add_argument("--scale", type=int, nargs="*", default=[], metavar="N", help="how many names, for bench-scale")
    parser.add_argument("--collections", required=True, help="where the collection is installed")
    parser.add_argument("--command", type=Path, required=True, help="the installed deploy-flake")
    parser.add_argument("--results", type=Path, required=True, help="the JSON file to write")
    chosen = parser.parse_args()
    programs = Path(sys.executable).parent
    playbook = Playbook(programs, chosen.collections)
    contenders: list[Contender] = [Floor(), playbook, Command(chosen.command), *peers()]
    figures = Figures()
    lab = Lab()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            if chosen.hosts:
                measurement = Measurement(contenders, chosen.repeat, figures)
                for size in sorted(chosen.hosts):
                    # No others, which would take their part of the machine.
                    lab.up(size)
                    for _round in measurement.run(Fleet(lab, size, Path(directory, str(size)))):
                        # It takes long, and whoever ends it keeps what there is.
                        figures.write(chosen.results)
                lab.up(COUNTED_ON)
                measurement.count(Fleet(lab, COUNTED_ON, Path(directory, "counted")))
            if chosen.scale:
                lab.up(PLAYERS)
                figures.scale = measure_scale(playbook, lab, chosen.scale, Path(directory, "scale"))
    except Broken as error:
        print(error, file=sys.stderr)
        return 1
    figures.write(chosen.results)
    print(f"\n{figures.tables()}" if chosen.hosts else "")
    print(f"\nwritten: {os.path.relpath(chosen.results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
