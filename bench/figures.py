# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, in tables and as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.fleet import BESIDE, KINDS
from bench.process import Used

# What was aimed at: the kind of deploy, on how many hosts, at most how many times the floor.
GOALS = (("first", 1, 2.0), ("first", 16, 1.5), ("no-op", 32, 1.5))
CPU_GOAL = 0.5
WRAPPER_GOAL = 1.15
MIB = 1 << 20


@dataclass(frozen=True)
class Count:
    """What was counted of a deploy, of the host with the most."""

    contender: str
    kind: str
    executions: int
    polls: int
    bytes_sent: int
    bytes_received: int


@dataclass
class Figures:
    """All figures of one run of the benchmark."""

    settle: int = 0
    evaluation: float = 0
    """Seconds that a host's configuration was to take the evaluator, beside its own next to nothing."""
    rounds: int = 0
    weight: bool = False
    """Whether the hosts and the benchmark came before what else this machine did."""
    runs: dict[tuple[str, str, int], list[Used]] = field(default_factory=dict)
    counts: list[Count] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: list[dict[str, Any]] = field(default_factory=list)
    """Runs of those that could deploy at first."""
    scale: list[dict[str, Any]] = field(default_factory=list)

    def add(self, contender: str, kind: str, hosts: int, used: Used) -> None:
        """One more run."""
        self.runs.setdefault((contender, kind, hosts), []).append(used)

    @property
    def contenders(self) -> list[str]:
        """In the order in which they came."""
        return list(dict.fromkeys(contender for contender, _kind, _hosts in self.runs))

    @property
    def sizes(self) -> list[int]:
        """From few hosts to many."""
        return sorted({hosts for _contender, _kind, hosts in self.runs})

    def median(self, contender: str, kind: str, hosts: int) -> float | None:
        """Seconds; None where it has not succeeded once."""
        for each in (kind, BESIDE.get(kind)):
            if each and (contender, each, hosts) in self.runs:
                return statistics.median(used.seconds for used in self.runs[contender, each, hosts])
        return None

    def as_json(self) -> dict[str, Any]:
        """Everything, with the machine that it was measured on."""
        return {
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {
                "processors": os.cpu_count(),
                "kernel": platform.release(),
                "python": platform.python_version(),
            },
            "settle": self.settle,
            "evaluation": self.evaluation,
            "rounds": self.rounds,
            "weight": self.weight,
            "beside": dict(BESIDE),
            "results": [self._result(*key) for key in self.runs],
            "counts": [asdict(count) for count in self.counts],
            "goals": list(self._goals()),
            "left_out": self.left_out,
            "failed": self.failed,
            "scale": self.scale,
        }

    def write(self, file: Path) -> None:
        """As JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")

    def tables(self) -> str:
        """For a person."""
        parts = []
        for kind in KINDS:
            rows = [
                self._row(contender, kind, hosts)
                for hosts in self.sizes
                for contender in self.contenders
                if (contender, kind, hosts) in self.runs
            ]
            if not rows:
                continue
            others = [f"to {name}" for name in self.contenders]
            head = ["hosts", "", "median s", "spread s", *others, "CPU s/host", "MiB"]
            parts.append(f"{kind}\n{_table([head, *rows])}")
        if self.counts:
            head = ["", "deploy", "executions", "polls", "bytes sent", "bytes received"]
            rows = [[str(value) for value in asdict(count).values()] for count in self.counts]
            parts.append(f"counted, the host with the most\n{_table([head, *rows])}")
        lines = [
            f"{'reached' if goal['reached'] else 'NOT reached'}: {goal['goal']}: {goal['value']}"
            for goal in self._goals()
        ]
        return "\n\n".join([*parts, "\n".join(lines)])

    def _row(self, contender: str, kind: str, hosts: int) -> list[str]:
        result = self._result(contender, kind, hosts)
        ratios = [self._ratio(contender, other, kind, hosts) for other in self.contenders]
        memory = f"{result['memory'] / MIB:.0f}" if result["memory"] else "-"
        spread = f"{result['min']:.2f}..{result['max']:.2f}"
        return [
            str(hosts),
            contender,
            f"{result['median']:.2f}",
            spread,
            *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            f"{result['cpu_per_host']:.2f}",
            memory,
        ]

    def _ratio(self, contender: str, other: str, kind: str, hosts: int) -> float | None:
        mine, others = self.median(contender, kind, hosts), self.median(other, kind, hosts)
        return mine / others if mine and others else None

    def _result(self, contender: str, kind: str, hosts: int) -> dict[str, Any]:
        runs = self.runs[contender, kind, hosts]
        seconds = sorted(used.seconds for used in runs)
        memory = [used.memory for used in runs if used.memory is not None]
        return {
            "contender": contender,
            "kind": kind,
            "hosts": hosts,
            "median": round(statistics.median(seconds), 3),
            "min": round(seconds[0], 3),
            "max": round(seconds[-1], 3),
            "seconds": [round(used.seconds, 3) for used in runs],
            "cpu_per_host": round(statistics.median(used.cpu for used in runs) / hosts, 3),
            "memory": int(statistics.median(memory)) if memory else None,
            "memory_per_host": int(statistics.median(memory) / hosts) if memory else None,
        }

    def _goals(self) -> Iterator[dict[str, Any]]:
        if self.evaluation:
            # They are of what a deploy does, and not of what it waits for.
            return
        for contender in ("playbook", "command"):
            for kind, hosts, most in GOALS:
                ratio = self._ratio(contender, "floor", kind, hosts)
                if ratio is not None:
                    goal = f"{contender}, {kind}, {hosts} hosts, at most {most} times the floor"
                    yield {"goal": goal, "value": round(ratio, 2), "reached": ratio <= most}
            for hosts in self.sizes:
                if (contender, "first", hosts) not in self.runs:
                    continue
                cpu = self._result(contender, "first", hosts)["cpu_per_host"]
                goal = f"{contender}, first, {hosts} hosts, at most {CPU_GOAL} s of CPU for each"
                yield {"goal": goal, "value": cpu, "reached": cpu <= CPU_GOAL}
        for kind, hosts in [(kind, hosts) for contender, kind, hosts in self.runs if contender == "command"]:
            ratio = self._ratio("command", "playbook", kind, hosts)
            if ratio is None:
                continue
            goal = f"command, {kind}, {hosts} hosts, at most {WRAPPER_GOAL} times the playbook"
            yield {"goal": goal, "value": round(ratio, 2), "reached": ratio <= WRAPPER_GOAL}


def _table(rows: Sequence[Iterable[str]]) -> str:
    cells = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
