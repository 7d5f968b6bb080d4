# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work on several hosts at the same time, in threads of one task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Self, TypeVar

from .connection import TimeUpError

K = TypeVar("K")
T = TypeVar("T")


class Together:
    """Threads for work on so many hosts at a time. A signal reaches the main thread alone, so the limit is one for all.

    Python waits for the threads of its own pools before it ends, and so would Ansible's process for a command that
    hangs: it would take the place of another host for ever. For these nobody waits.
    """

    def __init__(self, at_once: int) -> None:
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._at_once = at_once
        self._threads = 0

    def run(self, limit: float, work: Mapping[K, Callable[[], T]]) -> dict[K, T | Exception]:
        """What came of each: its result, or why it has failed; TimeUpError for what has not ended in time."""
        # Ansible keeps in its context which task this is.
        begun = {key: self._begin(partial(copy_context().run, one)) for key, one in work.items()}
        wait(begun.values(), limit)
        late = TimeUpError(f"no answer within {limit:.0f} s")
        results: dict[K, T | Exception] = {}
        for key, future in begun.items():
            if future.cancel() or not future.done():
                results[key] = late
                continue
            try:
                results[key] = future.result()
            except Exception as error:
                results[key] = error
        return results

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def do() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        self._work.put(do)
        if self._threads < self._at_once:
            self._threads += 1
            Thread(target=self._serve, daemon=True).start()
        return future

    def _serve(self) -> None:
        while (work := self._work.get()) is not _end_of_work:
            work()

    def __enter__(self) -> Self:
        """Use in a `with` statement."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for nobody: what hangs ends with its connection."""
        for _thread in range(self._threads):
            self._work.put(_end_of_work)


def _end_of_work() -> None:
    """The end of a thread."""
