# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that answer as the two ends of a copy of a closure do. What real ones do is tested on the lab's hosts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from unit.actions import options_of
from unit.fake_host import Asked, FakeHost, Scripted

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._closure.settings import ClosureSettings


def path(name: str) -> str:
    """A store path with a name of one letter, which Nix has in its hashes."""
    return f"/nix/store/{name * 32}-{name}"


def settings(task_host: str = "host1", **given: Any) -> ClosureSettings:
    """Those of closure_copy."""
    return ClosureSettings.from_options(options_of("closure_copy", **given), task_host)


class End(FakeHost):
    """One that answers by what it is asked; an answer that is an exception is raised once."""

    def __init__(self, name: str) -> None:
        super().__init__(self._answers_for_ever(), name=name)
        self.instead: dict[str, list[Scripted]] = {}
        """For a command, what is answered first in place of what it would."""

    def _answers_for_ever(self) -> Iterator[Scripted]:
        while True:
            asked = self.asked[-1]
            others = self.instead.get(asked.command, [])
            yield others.pop(0) if others else self.answer(asked)

    def answer(self, asked: Asked) -> Scripted:
        raise NotImplementedError


class Source(End):
    """A host with a closure: the size of each path, and for each top what it needs. A path is as many bytes."""

    def __init__(self, sizes: Mapping[str, int], needs: Mapping[str, Sequence[str]]) -> None:
        super().__init__("build1")
        self._sizes = sizes
        self._needs = needs
        self._pieces: list[tuple[bytes, bool]] = []
        self.sent: list[list[str]] = []

    def answer(self, asked: Asked) -> Scripted:
        match asked.command:
            case "closure_ask":
                paths = list(self._sizes)
                groups = [
                    {paths.index(one) for top in group.split() for one in self._needs[top]}
                    for group in asked.inputs["groups"].splitlines()
                ]
                return {
                    "paths": "\n".join(paths),
                    "sizes": "\n".join(map(str, self._sizes.values())),
                    "group": ["\n".join(map(str, sorted(group))) for group in groups],
                    # Of something else than what it sends.
                    "signatures": json.dumps(
                        {one: {"narHash": "sha256:" + "0" * 52, "narSize": 9, "references": []} for one in paths}
                    ),
                }
            case "closure_send":
                self.sent = [batch.split() for batch in asked.inputs["batches"].split("\n\n")]
                self._pieces = []
                for batch in self.sent:
                    # Each as two pieces.
                    text = " ".join(batch).encode()
                    self._pieces += [(text[:5], False), (text[5:], True)]
                return {}
            case "closure_take":
                data, last = self._pieces[int(asked.inputs["number"]) - 1]
                return {"piece": base64.b64encode(data).decode(), "last": "yes" if last else "no"}
        return {}


class Target(End):
    """A host that lacks some of it."""

    def __init__(self, name: str, has: Sequence[str] = (), free: int = 1 << 20) -> None:
        super().__init__(name)
        self.has = list(has)
        self._free = free
        self._wanted: list[str] = []
        self._received = 0
        self._batch = b""
        self.batches = 0

    def answer(self, asked: Asked) -> Scripted:
        lacking = [one for one in self._wanted if one not in self.has]
        match asked.command:
            case "closure_begin":
                self._wanted = asked.inputs["wanted"].split()
                self._received, self.batches, self._batch = 0, 0, b""
                lacking = [one for one in self._wanted if one not in self.has]
                return {
                    "lacking": f" {len(lacking)}\n",
                    "free": str(self._free),
                    **({} if lacking else {"complete": "yes"}),
                }
            case "closure_put" if asked.inputs["size"]:
                number = int(asked.inputs["number"])
                assert number == self._received + 1
                assert len(asked.data) == int(asked.inputs["size"])
                self._received = number
                self._batch += asked.data
                if asked.inputs["last"] == "yes":
                    self.has += self._batch.decode().split()
                    self._batch = b""
                    self.batches += 1
                return {"there": "yes"}
            case "closure_put":
                return {"there": "yes", "missing": "\n".join(lacking), "free": str(self._free)}
        return {}


def hosts(*ends: End) -> Callable[[str], End]:
    """What gives an action its hosts."""
    return {end.name: end for end in ends}.__getitem__
