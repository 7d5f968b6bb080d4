# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program, and ends it with all that it has started when the process that asked for it is gone.

`python -I -S bound_to_parent.py PARENT DIRECTORY PROGRAM ARGUMENT…`: PARENT is the process, DIRECTORY what is removed
when that is gone; "" for none. Killed with SIGKILL, deploy-flake can end nothing any more, and ansible-playbook would
go on: ansible-runner has it ignore the end of its terminal, and its workers have sessions of their own.

It imports little, since every run waits for it to start.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LOOK = 0.5
"""Seconds between two looks for the parent."""
_TO_END = 4.0
"""Seconds that the program gets to end what it has started, and to tidy up."""
_AGAIN = 1.0
"""Seconds until it is told again: one signal may be lost while it starts a process."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_HAS_PROC = os.path.exists("/proc/self/stat")
"""Whether this is Linux."""


class Bound:
    """A program that is bound to the life of a process."""

    def __init__(self, parent: int, directory: str, command: list[str]) -> None:
        self._parent = parent
        self._directory = directory
        _adopt_orphans()
        # Kept, since it would be waited for where nobody has it any more.
        self._popen = subprocess.Popen(command, preexec_fn=_ends_with(os.getpid()))
        self._child = self._popen.pid
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._over = threading.Event()
        self._ended = threading.Event()
        """Whether the program itself has ended; what it has started may be left."""

    def run(self) -> int:
        """Wait for its end; the status of its process."""
        self._watch.start()
        status = self._wait()
        self._ended.set()
        if self._orphaned():
            self._watch.join()
        self._over.set()
        return status

    def _wait(self) -> int:
        while True:
            # Whatever else has ended was adopted.
            pid, status = os.wait()
            if pid == self._child:
                return status

    def _orphaned(self) -> bool:
        return os.getppid() != self._parent

    def _look(self) -> None:
        while not self._over.wait(_LOOK):
            if self._orphaned():
                self._end()
                return

    def _end(self) -> None:
        """Tell the program, as Ctrl-C does, and kill what is left of it and of what it has started."""
        mine = _descendants()
        deadline = time.monotonic() + _TO_END
        while not self._ended.is_set() and time.monotonic() < deadline:
            kill([self._child], signal.SIGINT)
            self._ended.wait(_AGAIN)
            mine |= _descendants()
        # Somebody may be starting something just now.
        for _turn in range(5):
            mine |= _descendants()
            if not (left := [pid for pid in mine if _is_alive(pid) and not is_shared(pid)]):
                break
            kill(left, signal.SIGKILL)
            time.sleep(0.1)
        if self._directory:
            import shutil

            shutil.rmtree(self._directory, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Run it; ends as the program has ended."""
    parent, directory, *command = arguments
    try:
        bound = Bound(int(parent), directory, command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    status = os.waitstatus_to_exitcode(bound.run())
    if status < 0:
        with contextlib.suppress(OSError):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return abs(status)


def _adopt_orphans() -> None:
    """Where a worker outlives the program, it is ours, so that it can be found. Only Linux has that."""
    if _HAS_PROC:
        with contextlib.suppress(Exception):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _ends_with(starter: int) -> Callable[[], None]:
    """What the program does before it is one: it is to be told where whoever starts it is killed, and to hear of it.

    Nobody else could tell it then. Only Linux has that.
    """
    prctl: Any = None
    if _HAS_PROC:
        with contextlib.suppress(Exception):
            import ctypes

            prctl = ctypes.CDLL(None).prctl

    def before() -> None:
        # Who was started in the background by a shell ignores it, and so would the program.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
            if os.getppid() != starter:
                os._exit(127)

    return before


def _descendants() -> set[int]:
    """All processes below this one."""
    parents = _parents()
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def _parents() -> dict[int, int]:
    """The parent of every process."""
    if _HAS_PROC:
        return {int(name): parent for name in os.listdir("/proc") if name.isdigit() and (parent := _parent(name))}
    try:
        said = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    pairs = (line.split() for line in said.splitlines())
    return {int(pid): int(parent) for pid, parent in pairs}


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state, parent = stat.read().rpartition(b")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state == b"Z" else int(parent)


def _is_alive(pid: int) -> bool:
    """Whether there is something left to kill."""
    if _HAS_PROC:
        return bool(_parent(str(pid)))
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def is_shared(pid: int) -> bool:
    """Whether it is a connection that others may share, and that ends by itself when nobody uses it: ssh's master."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as command:
            said = command.read().rstrip(b"\0 ")
    except OSError:
        return False
    return said.startswith(b"ssh: ") and said.endswith(b"[mux]")


def kill(pids: list[int], number: int) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
