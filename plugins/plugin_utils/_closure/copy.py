# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies a closure from one host to others: read once, piece by piece, and written to all who lack it."""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ansible.errors import AnsibleError

from .._codes import Refusal
from .._host.answer import HostError
from .._host.connection import Host, TimeUpError
from .._host.together import Together
from .._printable import size_in_words
from .ends import PATIENCE, CutOffError, Source, Target
from .feeder import Feeder
from .plan import Batch, Closure, batches
from .settings import ClosureSettings

_ROUNDS = 3
"""How often a copy begins again, where a host has forgotten it."""
_PROGRESS_EVERY = 2.0
_STALLED = 10.0
"""Seconds without progress after which it is said that there is none, and again each time."""
_NOTHING = {"changed": False, "paths": 0, "copied": 0, "substituted": 0, "bytes": 0, "bytes_sent": 0}

Failures = dict[str, Exception]


def copy_closure(
    settings: ClosureSettings, host_of: Callable[[str], Host], forks: int = 1
) -> tuple[dict[str, dict[str, Any]], Failures]:
    """Copy what each target lacks, to so many at a time; the return values of each, and why some have failed, which
    stops no other."""
    if not settings.wanted:
        return {}, {}
    source = host_of(settings.source)
    hosts: dict[str, Host] = {}
    failures: Failures = {}
    for name in settings.wanted:
        try:
            hosts[name] = host_of(name)
        except (HostError, AnsibleError) as error:
            # That is said before any is asked.
            if getattr(error, "reason", "") == Refusal.NO_HOST:
                raise
            failures[name] = error
    results = {name: dict(_NOTHING) for name in settings.wanted}
    for some in _at_once(list(hosts), forks):
        copy = _Copy(settings, source, {name: hosts[name] for name in some})
        with Together(len(some) + 1) as together:
            copy.run(together)
        results |= copy.results
        failures |= copy.failures
    return results, failures


def _at_once(names: list[str], forks: int) -> Iterator[list[str]]:
    """So many of them at a time, and not one alone in the end where the others are many."""
    count = -(-len(names) // max(forks, 1))
    yield from (names[at::count] for at in range(count))


class _Copy:
    def __init__(self, settings: ClosureSettings, source: Host, hosts: Mapping[str, Host]) -> None:
        self._settings = settings
        self._source_host = source
        self._hosts = hosts
        self.failures: Failures = {}
        self.results: dict[str, dict[str, Any]] = {name: dict(_NOTHING) for name in hosts}

    def run(self, together: Together) -> None:
        """Until each target has all of it or has failed."""
        left = list(self._hosts)
        for attempt in range(_ROUNDS):
            # What has come by now nobody has to send again.
            once = _Round(self._settings, self._source_host, {name: self._hosts[name] for name in left}, together)
            try:
                once.run()
            except (HostError, AnsibleError) as error:
                once.fail_all(error)
            finally:
                once.close()
            for name in left:
                once.add_to(name, self.results[name])
            self.failures |= once.failures
            left = [name for name, error in once.failures.items() if isinstance(error, CutOffError)]
            if not left or attempt + 1 == _ROUNDS:
                return
            for name in left:
                self.failures.pop(name)
                self._hosts[name].tell("begins again with what it still lacks of the closure")


class _Round:
    """One copy, from what each target lacks to the end."""

    def __init__(self, settings: ClosureSettings, source: Host, hosts: Mapping[str, Host], together: Together) -> None:
        name = secrets.token_hex(8)
        self._settings = settings
        self._together = together
        self._source = Source(source, settings, name)
        self._targets = {each: Target(host, settings, name) for each, host in hosts.items()}
        self._closure = Closure({}, {})
        self._plan: list[Batch] = []
        self._lacks: Mapping[str, frozenset[str]] = {}
        self._told = 0.0
        self._last: dict[str, tuple[str, float, float]] = {}
        """What was told of each target, when that was new, and when something was told."""
        self.failures: Failures = {}

    @property
    def _at_work(self) -> list[str]:
        return [name for name, target in self._targets.items() if not target.complete and name not in self.failures]

    def run(self) -> None:
        """Ask, send, and wait for the end; HostError or AnsibleError where the source has failed."""
        self._closure = self._source.ask(list(self._targets))
        began = self._on_each(
            "has not said what it lacks", lambda target: target.begin(self._closure, self._packed), True
        )
        self._lacks = {name: began[name] for name in self._at_work}
        self._plan = batches(self._closure, self._lacks)
        for name in self._at_work:
            lacking = self._lacks[name]
            self._targets[name].host.tell(
                f"gets {len(lacking)} of {len(self._closure.needs[name])} paths from {self._source.host.name},"
                f" {size_in_words(self._closure.size(lacking))}"
            )
        if self._plan:
            self._source.send(self._plan, self._closure.signed)
            self._send()
        self._on_each("has not ended the copy", Target.end)

    @property
    def _packed(self) -> str:
        return "yes" if self._settings.how.compress else "no"

    def _send(self) -> None:
        """All batches, piece by piece. Each target takes them as fast as it can, and the slowest one sets the pace."""
        feeders = {name: Feeder(self._targets[name], self._limit) for name in self._at_work}
        try:
            at = 0
            for batch in self._plan:
                last = False
                while not last and self._at_work:
                    at += 1
                    piece = self._source.take(at)
                    last = piece.last
                    for name in batch.targets:
                        while name not in self.failures and not feeders[name].offer(piece):
                            self._look_at(feeders)
                    self._look_at(feeders)
            for name, feeder in feeders.items():
                while name not in self.failures and not feeder.offer(None):
                    self._look_at(feeders)
            while any(name not in self.failures and not feeder.has_ended() for name, feeder in feeders.items()):
                self._look_at(feeders)
            self._look_at(feeders)
        finally:
            for feeder in feeders.values():
                feeder.give_up()
            # What comes next is said over the same connections.
            ends = time.monotonic() + 2 * PATIENCE
            for feeder in feeders.values():
                feeder.wait(ends - time.monotonic())

    def _look_at(self, feeders: Mapping[str, Feeder]) -> None:
        """Note who has failed, and tell how far the others are."""
        for name in self._at_work:
            feeder = feeders[name]
            if feeder.error:
                self._note({name: feeder.error}, "")
            elif feeder.is_late:
                self._note({name: TimeUpError(f"no answer within {self._limit:.0f} s")}, "has not taken a piece")
                feeder.give_up()
        self._tell()

    def _on_each(self, what_not: str, work: Callable[[Target], Any], fetching: bool = False) -> dict[str, Any]:
        """Do the same with each target that is still at work; those that fail are out."""
        limit = self._limit + (self._settings.how.fetch_timeout if fetching and self._settings.how.substitute else 0)
        results = self._together.run(limit, {name: partial(work, self._targets[name]) for name in self._at_work})
        self._note(results, what_not)
        return dict(results)

    @property
    def _limit(self) -> int:
        """Seconds for a command that hangs over a connection that is well; the others have not given up by then."""
        return self._settings.copy_timeout + self._settings.reconnect_timeout + 3 * PATIENCE

    def _note(self, results: Mapping[str, Any], what_not: str) -> None:
        for name, result in results.items():
            if isinstance(result, TimeUpError):
                self.failures[name] = HostError(f"{name} {what_not} in time: {result}", Refusal.TOO_SLOW)
            elif isinstance(result, Exception) and not isinstance(result, HostError | AnsibleError):
                # A mistake of ours, or an answer that is none: the others go on.
                self._targets[name].host.tell_more("".join(traceback.format_exception(result)))
                self.failures[name] = HostError(
                    f"{name} could not be given the closure: {type(result).__name__}: {result}", Refusal.NO_ANSWER
                )
            elif isinstance(result, Exception):
                self.failures[name] = result

    def _tell(self) -> None:
        """How far each is, every few seconds; one that stands still says less often that it does."""
        now = time.monotonic()
        if now - self._told < max(_PROGRESS_EVERY, len(self._targets) / 4):
            return
        self._told = now
        for name in self._at_work:
            sent = self._batches_of(name)[: self._targets[name].batches]
            paths, size = sum(len(batch.paths) for batch in sent), sum(batch.size for batch in sent)
            lacking, bytes_sent = self._lacks[name], self._targets[name].bytes_sent
            text = (
                f"has got {paths} of {len(lacking)} paths, {size_in_words(size)} of"
                f" {size_in_words(self._closure.size(lacking))}; {size_in_words(bytes_sent)} were sent"
            )
            before, since, told = self._last.get(name, ("", now, now))
            if text != before:
                self._last[name] = (text, now, now)
                self._targets[name].host.tell(text)
            elif now - told >= _STALLED:
                self._last[name] = (text, since, now)
                self._targets[name].host.tell(f"{text}; nothing more for {now - since:.0f} s")

    def _batches_of(self, name: str) -> list[Batch]:
        return [batch for batch in self._plan if name in batch.targets]

    def fail_all(self, error: Exception) -> None:
        """The source has failed, and with it all that are still at work."""
        if not isinstance(error, HostError):
            error = HostError(
                f"{self._source.host.name}, which has the closure, cannot be reached: {error}", Refusal.LOST
            )
        for name in self._at_work:
            self.failures[name] = error

    def close(self) -> None:
        """Nothing is left of it on any host that can be asked."""
        ends = {name: target.give_up for name, target in self._targets.items() if name in self.failures}
        ends[""] = self._source.close
        reached = {name for name, target in self._targets.items() if target.host.reached}
        reached |= {""} if self._source.host.reached else set()
        self._together.run(90, {name: end for name, end in ends.items() if name in reached})

    def add_to(self, name: str, result: dict[str, Any]) -> None:
        """Add what this round has done for a target to what was done before."""
        target = self._targets[name]
        whole = self._batches_of(name)[: target.batches if target.complete else 0]
        substituted = target.lacked - len(self._lacks[name]) if name in self._lacks else 0
        result["paths"] = len(self._closure.needs.get(name, ()))
        result["copied"] += sum(len(batch.paths) for batch in whole)
        result["bytes"] += sum(batch.size for batch in whole)
        result["substituted"] += substituted
        result["bytes_sent"] += target.bytes_sent
        result["changed"] = result["changed"] or bool(target.bytes_sent or substituted)
