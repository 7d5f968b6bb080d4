# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host was all the while, for the randomised test: looked at from outside, some thirty times a second."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

from integration.soak_scene import name_of, truth
from integration.soak_truth import Truth, Unreadable, read_records, with_names

from lab import Host

RECORDS = "var/lib/deploy-flake/deployments.jsonl"
# How long before its line a deployment looks for what the line says, on a busy machine.
_BEFORE_ITS_LINE = 3.0


class Watch:
    """Neither profile nor boot loader may name a system that nobody has confirmed; and a record says what is so."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.history: list[tuple[float, Truth]] = []
        """What the host was from when on."""
        self.recorded: list[tuple[float, dict[str, Any]]] = []
        """The records that came, and when."""
        self.wrong: list[str] = []
        self.boots: list[tuple[float, str]] = []
        """When the host was seen to have booted, and what its boot loader named."""
        self.states: set[str] = set()
        """The states that a deployment was seen in."""
        self.confirmed: set[str] = set()
        """The systems that somebody has confirmed."""
        self._allowed: set[str] = set()
        self._versions: set[str] = set()
        self._leader = host.leader
        self._size = -1
        self._known = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        now = truth(self.host)
        self._allowed |= {now.profile, now.loader}
        file = self.host.root / RECORDS
        self._known = len(read_records(file.read_bytes())) if file.exists() else 0
        self._look(now)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def allow(self, system: str) -> None:
        """Somebody else may make this the boot default."""
        self._allowed.add(name_of(self.host, system))

    def allow_version(self, version: str) -> None:
        """It is deployed in a way that asks nobody."""
        self._versions.add(version)

    def since(self, moment: float) -> list[Truth]:
        """All that the host was from then on."""
        before = [now for when, now in self.history if when <= moment][-1:]
        return before + [now for when, now in self.history if when > moment]

    @property
    def final(self) -> float:
        """When the last record came, or when all began."""
        return self.recorded[-1][0] if self.recorded else self.history[0][0]

    def _watch(self) -> None:
        while not self._ended.wait(0.03):
            self._look(truth(self.host))

    def _look(self, now: Truth) -> None:
        if not self.history or self.history[-1][1] != now:
            self.history.append((time.monotonic(), now))
        self._look_at_deployments()
        if (leader := self.host.leader) not in (None, self._leader):
            self._leader = leader
            self.boots.append((time.monotonic(), now.loader))
        for system in (now.profile, now.loader):
            if system and not self._is_allowed(system):
                self._wrong(f"the boot default was {system}, which nobody had confirmed")
        self._look_at_records()

    def _look_at_deployments(self) -> None:
        for directory in Path(f"/proc/{self.host.leader}/root/run/deploy-flake").glob("2*"):
            try:
                self.states.add((directory / "state").read_text().strip())
                if (directory / "confirmed").exists():
                    settings = (directory / "settings").read_text()
                    self.confirmed |= {self._name(new) for new in re.findall(r"^new='(.*)'$", settings, re.MULTILINE)}
            except (OSError, UnicodeDecodeError):
                continue

    def _is_allowed(self, system: str) -> bool:
        if system in self._allowed or system in self.confirmed:
            return True
        if any(system.endswith(f"-25.11.{version}") for version in self._versions):
            return True
        # Its deployment may be over already.
        self._look_at_records()
        return any(record["to"] == system and record["outcome"] == "committed" for _when, record in self.recorded)

    def _look_at_records(self) -> None:
        file = self.host.root / RECORDS
        try:
            size = file.stat().st_size
            if size == self._size:
                return
            data = file.read_bytes()
        except OSError:
            return
        try:
            records = read_records(data)
        except Unreadable as error:
            # A line that is being written is whole a moment later.
            if data.endswith(b"\n"):
                self._size = size
                self._wrong(str(error))
            return
        self._size = size
        seen = time.monotonic()
        for record in [with_names(record, self._name) for record in records[self._known :]]:
            self.recorded.append((seen, record))
            self._compare(record, self.since(seen - _BEFORE_ITS_LINE))
        self._known = len(records)

    def _compare(self, record: dict[str, Any], around: list[Truth]) -> None:
        """What a record says of the host was so when its line was written."""
        for name, side in (("live", "live"), ("boot", "profile"), ("loader_default", "loader")):
            said = record.get(name)
            was = {getattr(now, side) for now in around} - {""}
            if said and was and said not in was:
                self._wrong(f"the record {record['id']} ({record['outcome']}) has {said} as {name}; that was {was}")

    def _name(self, system: str) -> str:
        return name_of(self.host, system)

    def _wrong(self, text: str) -> None:
        if text not in self.wrong:
            self.wrong.append(text)
