# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A build in a unit on the host: started, or found there, and followed to its end."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from .._codes import BuildResult, Refusal
from .._host.answer import Answer, HostError, number
from .._host.connection import Host
from .._host.sending import FileData
from .nix_command import build_arguments, digest, snapshot_of
from .nix_log import BuildLog
from .older import compared
from .pure import pure
from .settings import BuildSettings
from .shortage import in_time
from .transfer import Sources

_QUIET = 3
"""Seconds for which a poll keeps to itself what is only progress."""
_POLL = 5
"""Seconds for which it waits for any news after that."""
_PROGRESS_EVERY = 2.0
_STILL_EVERY = 8.0


@dataclass(frozen=True)
class End:
    """The end of a build, as build.sh says it."""

    result: BuildResult | None
    """None for any failure of Nix."""
    status: str
    """What Nix exited with; systemd's word where there is no such number."""

    @classmethod
    def read(cls, answer: Answer) -> End:
        """Read `result` of an answer."""
        word, _space, status = answer.get("result").partition(" ")
        return cls(BuildResult(word) if word in list(BuildResult) else None, status or word)


class UnitBuild:
    """One build on one host."""

    def __init__(
        self,
        host: Host,
        settings: BuildSettings,
        reference: str,
        installable: Sequence[str],
        sources: Sources | None,
        look: Mapping[str, str],
        needs_system: bool = True,
        compare: Sources | None = None,
    ) -> None:
        self.host = host
        self.settings = settings
        self.log = BuildLog()
        self.attached = False
        self._reference = reference
        self._sources = sources
        self._paths = sources.paths if sources else ""
        self._rooted = self._paths or snapshot_of(reference)
        self._look = look
        self._ask_committed = "yes" if compared(settings, compare or sources) else "no"
        self._needs_system = "yes" if needs_system else "no"
        self._arguments = build_arguments(settings, installable)
        self._name = digest(self._arguments)[:16]
        # No flake is evaluated where the system is built already, and only root may name a substituter to everybody.
        self._user = host.login_user if reference else "root"
        self._pure = pure(settings, sources, self._arguments, self._user)
        self._offset = 0
        self._told = ("", 0.0)
        self._began = time.monotonic()

    def follow(self) -> Answer:
        """Poll until there is a result. What the host does meanwhile does not depend on us."""
        answer = self._start()
        if self._sources and (missing := answer.all("missing")):
            answer = self._send_and_start(self._sources, missing)
        while not answer.get("result"):
            if answer.all("missing"):
                raise HostError(f"{self.host.name} has lost what it was sent of the flake", Refusal.NOT_VALID)
            # Another controller that followed the same build has tidied up: the result is in the store.
            answer = self._start() if answer.get("gone") else self._poll("no")
        return answer

    def _send_and_start(self, sources: Sources, missing: Sequence[str]) -> Answer:
        """The last of what is missing goes with the script that builds. All are rooted, and not asked for again."""
        there = sources.available(missing)
        sources.send(there[:-1])
        self._paths = ""
        # Whatever is not there, the host fetches by itself.
        for last in there[-1:]:
            if sources.is_too_large(last):
                break
            with sources.opened(last) as sent:
                start = partial(self._start, data=sent.data, path=last, nar_size=str(sent.size), packed=sent.packed)
                answer = sources.sent(last, sent, start)
            if answer is not None:
                return answer
        return self._start()

    def _start(self, data: bytes | FileData = b"", **snapshot: str) -> Answer:
        self._offset, self.log = 0, BuildLog()
        return self._poll("yes", data, **snapshot)

    def _poll(self, may_start: str, data: bytes | FileData = b"", **snapshot: str) -> Answer:
        host, settings = self.host, self.settings
        quiet = host.quiet(_QUIET)
        patience = quiet + _POLL
        # With a reference, somebody has spoken with the host before.
        wait_for = host.persist if settings.reference else host.contact
        ask = partial(in_time, host, len(data), settings.copy_timeout) if data else _at_once
        answer = wait_for(
            settings.reconnect_timeout,
            lambda: ask(
                lambda: host.run(
                    "build",
                    limit=patience + 120 + (settings.copy_timeout if data else 0),
                    data=data,
                    name=self._name,
                    login_user=self._user,
                    build_limit=str(settings.build_timeout),
                    need_nix_kib=str(settings.min_free_nix * 1024),
                    nix_arguments=self._arguments,
                    nix_config=settings.nix_config,
                    offset=str(self._offset),
                    patience=str(patience),
                    quiet=str(quiet),
                    may_start=may_start,
                    fetched="" if self._reference else settings.toplevel,
                    sources=self._rooted,
                    paths=self._paths,
                    needs_system=self._needs_system,
                    ask_committed=self._ask_committed,
                    **self._pure,
                    **{"nar_size": "", **snapshot},
                    **({"look": "yes", **self._look} if self._look else {"look": "no"}),
                )
            ),
            f"{'copying the flake and ' if data else ''}building (a build that has begun goes on there)",
            begun=may_start == "no",
        )
        if answer.get("attached"):
            self.attached = True
            host.tell("is building this already; following that build")
        log = base64.b64decode(answer.get("log"))
        if skipped := number(answer.get("log_skipped")):
            self._offset += skipped
            self.log.skip()
            host.tell_more(f"prints more than is kept: {skipped >> 10} KiB of its log are left out")
        self._offset += len(log)
        self.log.feed(log)
        for line in self.log.printed:
            host.tell_more(line)
        self._tell()
        return answer

    def _tell(self) -> None:
        line = self.log.progress()
        before, at = self._told
        quiet_for = time.monotonic() - at
        if line and quiet_for >= (_PROGRESS_EVERY if line != before else _STILL_EVERY):
            if line == before:
                last = f": {said}" if (said := self.log.last_line) else ""
                self.host.tell(f"still {line}, for {time.monotonic() - self._began:.0f} s{last}")
            else:
                self.host.tell(line)
            self._told = (line, time.monotonic())


def _at_once(ask: Callable[[], Answer]) -> Answer:
    return ask()
