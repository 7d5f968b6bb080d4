# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pieces on their way to one target: it may be a few behind the others, and holds them up only after that."""

from __future__ import annotations

import time
from contextvars import copy_context
from queue import Empty, Full, Queue
from threading import Event, Thread

from .ends import Piece, Target

_BEHIND = 4
"""Pieces that wait for a target. All targets share them, so that is how many the controller keeps."""
_PAUSE = 0.5


class Feeder:
    """Sends pieces to a target, in a thread of its own, which ends with the last one or where it fails."""

    def __init__(self, target: Target, limit: float) -> None:
        self._target = target
        self._limit = limit
        self._pieces: Queue[Piece | None] = Queue(_BEHIND)
        self._since = time.monotonic()
        """Since when it is at the same piece."""
        self.error: Exception | None = None
        self._ended = Event()
        self._given_up = False
        # Ansible keeps in its context which task this is. A hanging command must not keep the process.
        self._thread = Thread(target=copy_context().run, args=(self._serve,), daemon=True)
        self._thread.start()

    def offer(self, piece: Piece | None) -> bool:
        """Whether there was room for it, or it has failed and needs none; None is the end. Waits for a moment."""
        if self._ended.is_set():
            return True
        try:
            self._pieces.put(piece, timeout=_PAUSE)
        except Full:
            return False
        return True

    def has_ended(self) -> bool:
        """Whether it has sent all, or failed. Waits for a moment."""
        return self._ended.wait(_PAUSE)

    @property
    def is_late(self) -> bool:
        """Whether it has been at one piece for too long."""
        return not self._ended.is_set() and time.monotonic() - self._since > self._limit

    def give_up(self) -> None:
        """It gets nothing more."""
        self._given_up = True
        self._ended.set()

    def wait(self, seconds: float) -> None:
        """Until nothing is on its way to the target any more, but for so long at most. Nobody waits for what hangs."""
        if time.monotonic() - self._since <= self._limit:
            self._thread.join(max(seconds, 0))

    def _serve(self) -> None:
        try:
            while (piece := self._next()) is not None:
                self._target.put(piece)
        except Exception as error:
            self.error = error
        finally:
            self._ended.set()

    def _next(self) -> Piece | None:
        while not self._given_up:
            self._since = time.monotonic()
            try:
                return self._pieces.get(timeout=_PAUSE)
            except Empty:
                continue
        return None
