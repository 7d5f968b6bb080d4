# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench` and `make bench-scale`: how long a deploy takes, on hosts of the lab.

HOSTS="1 4" and REPEAT=3 make it shorter; PEERS=deploy-rs builds another tool and measures it too. What is measured goes
to .build/bench.json, and with the full set of hosts to bench/results.json, docs/bench.svg and docs/scale.md as well.
With EVALUATION=5 each host's configuration takes five seconds to evaluate; docs/scale.md has a table of that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools import collection, environments, peers
from tools.environments import Environment
from tools.shell import BUILD, ROOT, Failed, must, need_programs, run, say

RESULTS = BUILD / "bench.json"
KEPT = ROOT / "bench" / "results.json"
SCALE_KEPT = ROOT / "bench" / "scale.json"
EVALUATION_KEPT = ROOT / "bench" / "evaluation.json"
PICTURE = ROOT / "docs" / "bench.svg"
PAGE = ROOT / "docs" / "scale.md"
HOSTS = "1 4 16 32"
EVALUATION_HOSTS = "1 4"
MOST = 64
"""The lab has no more."""
NAMES = "50 200 500"
REPEAT = "5"
PROGRAMS = {"ssh": "openssh-client", "tar": "tar"}


def bench() -> list[str]:
    """Measure, and draw."""
    seconds = _evaluation(os.environ.get("EVALUATION") or "0")
    every = EVALUATION_HOSTS if float(seconds) else HOSTS
    hosts = os.environ.get("HOSTS", every)
    if not hosts.split() or not all(word.isdigit() and 0 < int(word) <= MOST for word in hosts.split()):
        raise Failed(
            f"HOSTS={hosts!r}: it has the numbers of hosts to measure with, each from 1 to {MOST}, as HOSTS='1 4'"
        )
    programs = peers.build(peers.wanted(os.environ.get("PEERS", "")))
    how = ["--repeat", os.environ.get("REPEAT", REPEAT), "--evaluation", seconds]
    if programs:
        how += ["--peers", str(programs)]
    if not _measure(RESULTS, [*how, "--hosts", *hosts.split()]):
        return ["bench"]
    if float(seconds):
        if hosts == every:
            shutil.copyfile(RESULTS, EVALUATION_KEPT)
            _put_into_the_page("bench-evaluation", _ratios(json.loads(EVALUATION_KEPT.read_text())))
            say(f"kept: {EVALUATION_KEPT.relative_to(ROOT)} and the table in {PAGE.relative_to(ROOT)}")
        return []
    picture = BUILD / PICTURE.name
    must([environments.for_plots().bin / "python", ROOT / "bench" / "plot.py", RESULTS, picture])
    say(f"drawn: {picture.relative_to(ROOT)}")
    if hosts == HOSTS:
        shutil.copyfile(RESULTS, KEPT)
        shutil.copyfile(picture, PICTURE)
        _put_into_the_page("bench", _ratios(json.loads(KEPT.read_text())))
        say(f"kept: {KEPT.relative_to(ROOT)}, {PICTURE.relative_to(ROOT)} and the table in {PAGE.relative_to(ROOT)}")
    return []


def bench_scale() -> list[str]:
    """Measure with many names for few hosts."""
    names = os.environ.get("NAMES", NAMES)
    if not _measure(BUILD / "scale.json", ["--scale", *names.split()]):
        return ["bench-scale"]
    if names == NAMES:
        shutil.copyfile(BUILD / "scale.json", SCALE_KEPT)
        _put_into_the_page("bench-scale", _scale(json.loads(SCALE_KEPT.read_text())))
    return []


def _evaluation(said: str) -> str:
    """The seconds of EVALUATION."""
    if not re.fullmatch(r"\d{1,3}(\.\d+)?", said):
        raise Failed(f"EVALUATION={said!r}: it is the seconds that evaluating takes for each host, as EVALUATION=5")
    if float(said) and os.environ.get("BENCH_FLAKE"):
        raise Failed("EVALUATION adds work to the example flake, and BENCH_FLAKE is taken as it is: set one of them.")
    return said


def _measure(results: Path, arguments: list[str]) -> bool:
    need_programs(PROGRAMS)
    environment = environments.for_tests(environments.newest())
    collection.install(environment)
    command = _install_command(environment)
    env = {
        "PATH": environment.path_variable(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    ours: list[str | Path] = ["--collections", collection.COLLECTIONS, "--command", command, "--results", results]
    return run([environment.bin / "python", "-m", "bench", *ours, *arguments], env=env)


def _install_command(environment: Environment) -> Path:
    """The wheel, in an environment with the same ansible-core."""
    wheels = BUILD / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    must([environment.bin / "python", "-m", "hatchling", "build", "--target", "wheel", "--directory", wheels])
    (wheel,) = wheels.glob("*.whl")
    installed = environments.for_the_command(environments.newest())
    must([installed.bin / "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel])
    return installed.bin / "deploy-flake"


def _ratios(results: dict[str, Any]) -> list[Sequence[object]]:
    """A row for each kind of deploy and number of hosts: the floor, and of others the seconds and the ratio to it."""
    found = {(each["kind"], each["hosts"], each["contender"]): each for each in results["results"]}
    beside = results.get("beside", {})
    names = list(dict.fromkeys(name for _kind, _hosts, name in found if name != "floor"))
    rows: list[Sequence[object]] = [
        ["deploy", "hosts", "floor", *names, "controller's CPU for each host, in this order"]
    ]
    for kind, hosts in dict.fromkeys((kind, hosts) for kind, hosts, _name in found):

        def of(name: str, kind: str = kind, hosts: int = hosts) -> dict[str, Any] | None:
            return found.get((kind, hosts, name)) or found.get((beside.get(kind, kind), hosts, name))

        floor = of("floor")
        cells = [_cell(of(name), floor) for name in names]
        cpu = ", ".join(f"{each['cpu_per_host']:.2f} s" if (each := of(name)) else "-" for name in names)
        rows.append([kind, hosts, f"{floor['median']:.1f} s" if floor else "-", *cells, cpu])
    return rows


def _cell(each: dict[str, Any] | None, floor: dict[str, Any] | None) -> str:
    """One that has not succeeded once has no figure."""
    if not each:
        return "-"
    ratio = f", {each['median'] / floor['median']:.2f}" if floor else ""
    return f"{each['median']:.1f} s{ratio}"


def _scale(results: dict[str, Any]) -> list[Sequence[object]]:
    head = ["names", "serial", "seconds", "seconds for each", "CPU for each", "peak of memory"]
    values = ("names", "serial", "seconds", "seconds_per_host", "cpu_per_host", "memory_mib")
    rows: list[Sequence[object]] = [[each[value] for value in values] for each in results["scale"]]
    return [head, *([*row[:1], row[1] or "all", *row[2:5], f"{row[5]} MiB"] for row in rows)]


def _put_into_the_page(name: str, rows: Sequence[Sequence[object]]) -> None:
    """As a table between two comments that have the name."""
    head, *others = [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    table = "\n".join([head, "| --- " * len(rows[0]) + "|", *others])
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(re.sub(f"{begin}.*{end}", f"{begin}\n{table}\n{end}", text, flags=re.DOTALL), encoding="utf-8")
