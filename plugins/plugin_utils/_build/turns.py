# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The turns of those who wait for one builder: each has a process of its own, and one of them at a time has it work.

What one has waited for in vain the others are told: a builder that is down must not hold up each of them anew.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from .._codes import Refusal
from .._host.answer import HostError
from .._host.connection import Host
from .settings import BuildContext
from .waiting import telling

_FOR = 300
"""Seconds for which nobody asks again a builder that could not be had."""
OF_THE_BUILDER = frozenset(
    {
        *(Refusal.LOST, Refusal.NOT_ROOT, Refusal.BECOME, Refusal.NO_TOOL, Refusal.NO_NIX, Refusal.NO_DIRECTORY),
        *(Refusal.NO_USER, Refusal.SHUT_OUT),
    }
)
"""Reasons for which it can build for nobody."""


class ToldError(HostError):
    """What another process has waited for."""


class Turns:
    """Those of one builder in one task, for one of the hosts."""

    def __init__(self, builder: Host, host: Host, context: BuildContext) -> None:
        self.builder = builder
        self.host = host
        self._lock = context.shared_file(f"turns of {builder.name}")
        self._lost = context.shared_file(f"why {builder.name} was lost")

    @contextmanager
    def take(self, doing: str) -> Iterator[None]:
        """Wait for a turn; ToldError where somebody else has waited for the builder in vain."""
        with self._lock.open("a") as lock:
            with telling(self.host, f"waits for {self.builder.name}, which {doing}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
            self.refuse_lost()
            try:
                yield
            except (AnsibleError, HostError) as error:
                # Whoever is next must not have its turn before it is noted.
                self.failed(error)
                raise

    def refuse_lost(self) -> None:
        """ToldError where the builder could not be had a moment ago."""
        if self._lost.exists() and time.time() - self._lost.stat().st_mtime < _FOR:
            said, reason = json.loads(self._lost.read_text("utf-8"))
            raise ToldError(self._for_host(said), reason)

    def failed(self, error: AnsibleError | HostError) -> HostError:
        """What the host's own error is, where its builder has failed; if it can build for nobody, others get it too."""
        if isinstance(error, HostError):
            if isinstance(error, ToldError):
                return error
            if error.reason not in OF_THE_BUILDER:
                mine = f"{self.builder.name} builds for {self.host.name}, whose system is untouched."
                return HostError(f"{error}\n{mine}", error.reason, error.answer)
            self._note(said := f"cannot build: {error}", error.reason)
            return HostError(self._for_host(said), error.reason, error.answer)
        is_lost = isinstance(error, AnsibleConnectionFailure)
        what = "was lost" if is_lost and self.builder.reached else "cannot be reached" if is_lost else "cannot be asked"
        said, reason = f"{what}: {error}", Refusal.LOST if is_lost else Refusal.NO_ANSWER
        self._note(said, reason)
        return HostError(self._for_host(said), reason)

    def _for_host(self, said: str) -> str:
        host = self.host.name
        return f"{self.builder.name}, which is to build for {host}, {said}. {host}'s system is untouched"

    def _note(self, said: str, reason: str) -> None:
        written = self._lost.with_suffix(f".{self.host.name}")
        written.write_text(json.dumps([said, reason]), "utf-8")
        written.replace(self._lost)
