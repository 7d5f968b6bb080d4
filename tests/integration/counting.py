# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what goes over ssh: a program that takes the place of ssh, runs it, and writes down what went through."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# It lets everything through at once, as ssh would take it, and keeps a copy of what was sent.
_WRAPPER = r"""#!{python} -ISu
import json, os, subprocess, sys, threading

arguments = sys.argv[1:]
child = subprocess.Popen(["{ssh}", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
sent, received = [], [0]

def send():
    try:
        while data := os.read(0, 65536):
            sent.append(data)
            child.stdin.write(data)
            child.stdin.flush()
    except OSError:
        pass
    try:
        child.stdin.close()
    except OSError:
        pass

threading.Thread(target=send, daemon=True).start()
while data := os.read(child.stdout.fileno(), 65536):
    received[0] += len(data)
    os.write(1, data)
code = child.wait()
entry = {{"arguments": arguments, "sent": b"".join(sent).decode("latin-1"), "received": received[0]}}
with open(f"{directory}/{{os.getpid()}}.new", "w") as file:
    json.dump(entry, file)
os.rename(file.name, f"{directory}/{{os.getpid()}}.json")
# A negative code is a signal.
sys.stdout.flush()
os._exit(code if code >= 0 else 128 - code)
"""

# Options of ssh with a value.
_WITH_VALUE = "BbcDEeFIiJLlmOopQRSWw"
# A look at a build that runs, or at a deployment whose state is known, but for its confirmation.
_POLL = re.compile(r"^(may_start=no|known=[a-z-]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Execution:
    """One command on one host."""

    address: str
    command: str
    data: str
    received: int
    shared: bool
    """Whether it may use a connection that is there already."""

    @property
    def sent(self) -> int:
        """Bytes: standard input and the command itself."""
        return len(self.data) + len(self.command.encode())

    @property
    def is_poll(self) -> bool:
        """Whether it only waits for what runs on the host anyway."""
        return bool(_POLL.search(self.data)) and "\nmeant=" not in self.data


class Counter:
    """Where `program` is run in the place of ssh, `executions` tells what was run since the last `reset`."""

    def __init__(self, directory: Path, ssh: str = "/usr/bin/ssh") -> None:
        self._directory = directory / "executions"
        self._directory.mkdir(parents=True)
        self.program = directory / "ssh"
        self.program.write_text(
            _WRAPPER.format(python=sys.executable, ssh=ssh, directory=self._directory), encoding="utf-8"
        )
        self.program.chmod(0o755)

    def reset(self) -> None:
        """Forget what was counted."""
        for file in self._directory.iterdir():
            file.unlink()

    def executions(self) -> list[Execution]:
        """Every command on a host, but for what only manages connections."""
        entries = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(self._directory.glob("*.json"))]
        found = [_execution(entry["arguments"], entry["sent"], entry["received"]) for entry in entries]
        return [execution for execution in found if execution]


def by_host(executions: Iterable[Execution]) -> dict[str, list[Execution]]:
    """The executions of each address."""
    found: dict[str, list[Execution]] = {}
    for execution in executions:
        found.setdefault(execution.address, []).append(execution)
    return found


def _execution(arguments: list[str], sent: str, received: int) -> Execution | None:
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option[1:2] == "O":
            return None
        if option[1:2] in _WITH_VALUE and len(option) == 2:
            rest.pop(0)
    while len(rest) > 1 and rest[1].startswith("-"):
        # Options after the destination.
        rest.pop(1)
    if len(rest) < 2:
        return None
    return Execution(
        rest[0].rpartition("@")[2], " ".join(rest[1:]), sent, received, "ControlPath=none" not in arguments
    )
