# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command of the operator's that hears what happens: one JSON object a line, on its standard input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, cast

from deploy_flake.events import Event

_STANDARD_ERROR = 2
TO_END = 30.0
"""Seconds that it gets to hear the rest and to end, once the run is over."""


class Listener:
    """Runs the command from the beginning to the end of a run. What becomes of it changes nothing for the hosts."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            # What it prints must not come between lines of ours that programs read.
            stdout=_STANDARD_ERROR,
            # Nothing may be held back, nor locked by a thread that waits for it to read on.
            bufsize=0,
            # Ctrl-C is for us, and it hears how that ended.
            start_new_session=True,
        )
        self._its_input = cast(BinaryIO, self._process.stdin)

    def show(self, event: Event) -> None:
        """Tell it. Raises OSError where it reads no more."""
        line = memoryview(f"{json.dumps(event.as_json())}\n".encode())
        while line and not self._its_input.closed:
            line = line[self._its_input.write(line) :]

    def read_no_more(self) -> None:
        """It hears nothing from now on."""
        self._its_input.close()

    def end(self, has_heard_all: Callable[[float], object], timeout: float = TO_END) -> str:
        """Wait until it has heard all, for which `has_heard_all` waits so many seconds at most, and has ended.

        What went wrong, in a sentence; "" for nothing. Ctrl-C ends it at once, and nothing else.
        """
        until = time.monotonic() + timeout
        try:
            has_heard_all(timeout)
            self.read_no_more()
            code = self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            when = f"{timeout:.0f} s after the run"
        except KeyboardInterrupt:
            when = "when you interrupted it"
        else:
            return f"--on-event: {self._command!r} ended with {code}" if code else ""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        return f"--on-event: {self._command!r} had not ended {when}, and was told to"
