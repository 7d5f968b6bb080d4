# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurement: everybody in turn, again and again, so that what else the machine does hits all alike."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from integration.counting import Counter, by_host

from bench.contenders import Contender, Peer
from bench.figures import Count, Figures
from bench.fleet import Fleet
from bench.process import Broken, Used


class Measurement:
    """One run of the benchmark."""

    def __init__(self, contenders: Sequence[Contender], kinds: Sequence[str], repeat: int, figures: Figures) -> None:
        self.contenders = list(contenders)
        self.kinds = kinds
        self.repeat = repeat
        self.figures = figures
        self._version = f"{int(time.time()):x}"
        self._number = 0
        self._began = time.monotonic()

    def run(self, fleet: Fleet) -> Iterator[int]:
        """Measure with this many hosts, a round at a time; before, one first deploy by everybody warms up."""
        size = len(fleet.hosts)
        self._say(f"{size} host{'s' if size > 1 else ''}: warming up, then {self.repeat} rounds")
        for turn in range(self.repeat + 1):
            # Another one begins each time.
            first = turn % len(self.contenders)
            for contender in [*self.contenders[first:], *self.contenders[:first]]:
                try:
                    if not turn:
                        contender.prepare(fleet)
                    seconds = list(self._round(fleet, contender, size if turn else None))
                except Broken as error:
                    if turn:
                        # One that fails is one that fails: what was measured before stands, and the next round comes.
                        self._say(f"{size} hosts, {turn}, {contender.name} FAILED: {error}")
                        self.figures.failed.append({"contender": contender.name, "hosts": size, "why": str(error)})
                        continue
                    if not isinstance(contender, Peer):
                        # Nothing is to be compared then.
                        raise
                    self._say(f"{contender.name} is left out: {error}")
                    self.figures.left_out[contender.name] = str(error)
                    self.contenders.remove(contender)
                    continue
                times = ", ".join(
                    f"{kind} {each:.2f} s" for kind, each in zip(self._kinds_of(contender), seconds, strict=False)
                )
                self._say(f"{size} hosts, {turn or 'warm-up'}, {contender.name}: {times}")
            if turn:
                yield turn

    def count(self, fleet: Fleet) -> None:
        """Count what ours and the floor send to each host: once, apart from the timed runs, since it takes time."""
        self._say(f"counting executions and bytes on {len(fleet.hosts)} hosts")
        for contender in self.contenders:
            if isinstance(contender, Peer):
                # Nix ends the ssh that it has started without waiting for what it would have said of that.
                continue
            shutil.rmtree(fleet.directory / "counted", ignore_errors=True)
            counter = Counter(fleet.directory / "counted")
            for kind in self._kinds(fleet, contender):
                counter.reset()
                self._deploy(fleet, contender, kind, counter.program)
                hosts = list(by_host(counter.executions()).values())
                self.figures.counts.append(
                    Count(
                        contender.name,
                        kind,
                        executions=max(sum(not each.is_poll for each in host) for host in hosts),
                        polls=max(sum(each.is_poll for each in host) for host in hosts),
                        bytes_sent=max(sum(each.sent for each in host) for host in hosts),
                        bytes_received=max(sum(each.received for each in host) for host in hosts),
                    )
                )

    def _round(self, fleet: Fleet, contender: Contender, size: int | None) -> Iterator[float]:
        for kind in self._kinds(fleet, contender):
            used = self._deploy(fleet, contender, kind)
            if size:
                self.figures.add(contender.name, kind, size, used)
            yield used.seconds
            if not size:
                return

    def _deploy(self, fleet: Fleet, contender: Contender, kind: str, ssh: Path | None = None) -> Used:
        fleet.change(kind, self._version_now())
        fleet.settle()
        used = contender.deploy(fleet, self._number, kind, ssh)
        fleet.demand(self._version_now())
        return used

    def _kinds_of(self, contender: Contender) -> list[str]:
        return [kind for kind in self.kinds if kind in contender.kinds]

    def _kinds(self, fleet: Fleet, contender: Contender) -> Iterator[str]:
        fleet.tidy()
        for kind in self._kinds_of(contender):
            if kind != "no-op":
                self._number += 1
            yield kind

    def _version_now(self) -> str:
        return f"{self._version}.{self._number}"

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:5.0f} s] {text}", flush=True)
