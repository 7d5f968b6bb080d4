# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands inside a machine without its network: the agent that qemu has for its guests, over a line of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.shell import LabError

# How long the agent may take for an answer: emulated, on a busy machine.
PATIENCE = 30.0


def run(
    path: Path, argv: Sequence[str], stdin: str | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for its end."""
    deadline = time.monotonic() + (timeout or 1e9)
    given: dict[str, Any] = {"path": argv[0], "arg": list(argv[1:]), "capture-output": True}
    if stdin is not None:
        given["input-data"] = base64.b64encode(stdin.encode()).decode()
    pid = ask(path, "guest-exec", **given)["pid"]
    pause = 0.02
    while True:
        status = ask(path, "guest-exec-status", pid=pid)
        if status["exited"]:
            out, err = (_text(status.get(name, "")) for name in ("out-data", "err-data"))
            # As for any process: a signal's number below zero.
            code = -status["signal"] if "signal" in status else status.get("exitcode", 0)
            return subprocess.CompletedProcess(argv, code, out, err)
        if time.monotonic() > deadline:
            ask(path, "guest-exec", path="/usr/bin/kill", arg=["-9", str(pid)])
            raise subprocess.TimeoutExpired(list(argv), timeout or 0)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.3)


def ask(line_of: Path, command: str, /, **arguments: Any) -> Any:
    """A question, once more where the line is closed before it was asked: the agent may be at its start."""
    for _attempt in range(5):
        with contextlib.suppress(_Closed):
            return _ask(line_of, command, arguments)
        time.sleep(1)
    raise LabError("no answer from the machine's agent: the line is closed")


class _Closed(Exception):
    pass


def _ask(line_of: Path, command: str, arguments: dict[str, Any]) -> Any:
    """Over a connection of its own: the line has room for one."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE)
        try:
            line.connect(str(line_of))
            reader = line.makefile("rb")
            # Answers to a question that somebody did not wait for come first.
            number = secrets.randbelow(1 << 30)
            line.sendall(b"\xff" + _request("guest-sync", id=number))
            while _answer(reader.readline()) != number:
                pass
            line.sendall(_request(command, **arguments))
            answer = json.loads(reader.readline())
        except (OSError, ValueError) as error:
            raise LabError(f"no answer from the machine's agent: {error}") from error
    if "error" in answer:
        raise LabError(f"{command}: {answer['error']['desc']}")
    return answer["return"]


def _request(command: str, **arguments: Any) -> bytes:
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"


def _answer(line: bytes) -> Any:
    if not line:
        raise _Closed
    try:
        return json.loads(line.lstrip(b"\xff")).get("return")
    except ValueError:
        return None


def _text(data: str) -> str:
    return base64.b64decode(data).decode(errors="replace")
