# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that plays scripted answers, for the logic of the controller.

What a host really answers is tested on the lab's hosts. Everything of `Host` but the connection is real here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import scripts
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer, HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.connection import Host
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.sending import FileData

Scripted = Mapping[str, str | list[str]] | Exception


@dataclass(frozen=True)
class Asked:
    """One command that the host was asked to run."""

    command: str
    inputs: Mapping[str, str]
    data: bytes = b""
    limit: float = 0


class Clock:
    """In place of the module time: nobody waits, and an hour passes in no time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeHost(Host):
    """Answers with the next of its answers; an exception is raised. Running out of them fails the test.

    With a clock, each command takes a second. Answers may have no end.
    """

    def __init__(
        self,
        answers: Iterable[Scripted] = (),
        *,
        name: str = "host1",
        over_ssh: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.name = self.on_behalf_of = name
        self.reached = False
        self.waited_for = True
        self.undecided = {}
        self._own_address = ""
        self._candidates = []
        self._answers: Iterator[Scripted] = iter(answers)
        self._clock = clock or Clock()
        self.asked: list[Asked] = []
        self.told: list[str] = []
        self.warned: list[str] = []
        self.resets = 0
        self.connections: list[str] = []
        """What was done to the connection: `fresh`, `shared`, or the address that it goes to."""
        self._over_ssh = over_ssh

    @property
    def over_ssh(self) -> bool:
        return self._over_ssh

    @property
    def _transport(self) -> str:
        return "ssh" if self._over_ssh else "local"

    @property
    def unproven(self) -> str:
        return "" if self._over_ssh else "the connection 'local' does not come from there"

    @property
    def goes_elsewhere(self) -> bool:
        return False

    @property
    def login_user(self) -> str:
        return "admin"

    @property
    def address(self) -> str:
        return "192.0.2.1" if self._over_ssh else ""

    @property
    def port(self) -> str:
        return ""

    @property
    def ssh_arguments(self) -> str:
        return "-C"

    def use_ssh_arguments(self, arguments: str) -> None:
        self.connections.append(arguments)

    def expect_host_keys(self, file: Path) -> str:
        self.connections.append(file.read_text("utf-8"))
        return f"-o UserKnownHostsFile={file} -C"

    def log_in_as(self, user: str) -> None:
        self.connections.append(f"as {user}")

    def quiet(self, seconds: int) -> int:
        return seconds

    def tell(self, text: str) -> None:
        self.told.append(text)

    def tell_more(self, text: str) -> None:
        self.told.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def run(
        self, command: str, /, *, limit: float = 90, data: bytes | FileData = b"", **inputs: scripts.Input
    ) -> Answer:
        # Inputs that the script does not know fail here as they would on a host.
        self.asked.append(Asked(command, scripts.as_text(command, inputs, self.kind), bytes(data), limit))
        self._clock.sleep(1)
        scripted = next(self._answers, None)
        if scripted is None:
            pytest.fail(f"{self.name} is asked to {command} and has no answer left")
        if isinstance(scripted, Exception):
            raise scripted
        self.reached = True
        answer = answered(scripted)
        if answer.get("refused"):
            raise HostError(f"{self.name} {answer.get('message')}", answer.get("refused"), answer)
        return answer

    def reset(self) -> None:
        self.resets += 1

    def connect_to(self, address: str) -> None:
        self.connections.append(address)

    def give_up_soon(self) -> None:
        self.connections.append("soon")

    def use_fresh_connections(self) -> None:
        self.connections.append("fresh")

    def use_shared_connection(self) -> None:
        self.connections.append("shared")

    def done(self) -> bool:
        """Whether all that was scripted has been asked for."""
        return next(self._answers, None) is None

    @property
    def commands(self) -> list[str]:
        """The names of what it was asked to run."""
        return [each.command for each in self.asked]


def answered(fields: Mapping[str, Any]) -> Answer:
    """An answer with these fields; a list is a field that comes several times."""
    found = []
    for name, value in fields.items():
        found += [(name, str(each)) for each in (value if isinstance(value, list) else [value])]
    return Answer(found)
