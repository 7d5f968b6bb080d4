# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two ends of a copy of a closure: the host that has it, and one that gets it.

What each does goes on in a unit there, so a command that was lost is given once more.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ansible.errors import AnsibleError

from .._codes import Refusal, Until
from .._flake.store_path import is_store_path
from .._host.answer import Answer, HostError, lines, number
from .._host.connection import Host
from .._printable import size_in_words
from . import signatures
from .plan import Batch, Closure
from .settings import ALLOWS_LITTLE_SPACE, ClosureSettings
from .signatures import Signed
from .stream import CheckedStream

PIECE = 2 << 20
"""Bytes that the controller has of a host at a time; Ansible keeps a command's output several times over."""
PATIENCE = 20
"""Seconds for which a command waits on the host."""
_LOOK = 300
"""Seconds in which a host finds out about all paths of a closure."""
_SPARE = 16 << 10
"""KiB that have to stay free beside the paths, for Nix's database."""


class CutOffError(HostError):
    """The unit of one end is gone, by a kill or a restart of the host: what has not come has to be asked for again."""


@dataclass(frozen=True)
class Piece:
    """A part of the stream of a batch."""

    data: bytes
    last: bool
    """Whether it is the end of its batch."""


class Source:
    """The host that has the closure."""

    def __init__(self, host: Host, settings: ClosureSettings, name: str) -> None:
        self.host = host
        self._settings = settings
        self._name = name
        self._checks: list[CheckedStream] = []
        """Of the batches that have not come yet."""

    def ask(self, targets: Sequence[str]) -> Closure:
        """What belongs to the paths for these targets; it is kept from garbage collection from here on."""
        groups = "\n".join(" ".join(self._settings.wanted[target]) for target in targets)
        answer = self.host.contact(
            self._settings.reconnect_timeout,
            lambda: self.host.run(
                "closure_ask",
                limit=_LOOK,
                id=self._name,
                end="from",
                groups=groups,
                sign_key=self._settings.how.sign_key,
                ask_signatures="yes" if self._settings.how.check_signatures else "no",
            ),
            "asking what belongs to the closure",
        )
        return Closure(
            *self._closure(answer, targets),
            signatures.read(answer.get("signatures")) if self._settings.how.check_signatures else {},
        )

    def _closure(self, answer: Answer, targets: Sequence[str]) -> tuple[dict[str, int], dict[str, frozenset[str]]]:
        """The size of each path, and what each target needs; HostError where it is not that: it goes on to others."""
        paths, said = lines(answer.get("paths")), lines(answer.get("sizes"))
        sizes = [size for size in map(number, said) if size is not None]
        groups = [[number(at) for at in lines(group)] for group in answer.all("group")]
        all_known = all(at is not None and at < len(paths) for group in groups for at in group)
        if not len(paths) == len(said) == len(sizes) or len(groups) != len(targets) or not all_known:
            raise HostError(
                f"{self.host.name} did not say of each path how large it is; nothing was copied", Refusal.NO_ANSWER
            )
        if wrong := [path for path in paths if not is_store_path(path)]:
            raise HostError(
                f"{self.host.name} says that {wrong[0]!r} belongs to the closure, which is not a store path; nothing"
                " was copied",
                Refusal.NO_ANSWER,
            )
        needs = [frozenset(paths[at] for at in group if at is not None) for group in groups]
        return dict(zip(paths, sizes, strict=True)), dict(zip(targets, needs, strict=True))

    def send(self, batches: Sequence[Batch], signed: Mapping[str, Signed]) -> None:
        """Have it begin to hand out these batches, of which it has shown what is signed, where that is asked for."""
        if self._settings.how.check_signatures:
            packed = self._settings.how.compress
            self._checks = [CheckedStream(self.host.name, batch.paths, signed, packed) for batch in batches]
        self._ask(
            "beginning to send",
            lambda: self.host.run(
                "closure_send",
                id=self._name,
                end="from",
                batches="\n\n".join("\n".join(batch.paths) for batch in batches) + "\n",
                piece_size=str(PIECE),
                pack="yes" if self._settings.how.compress else "no",
                idle_limit=str(self._settings.idle_limit),
            ),
        )

    def take(self, at: int) -> Piece:
        """The piece of this number, the first one being 1."""
        ends = time.monotonic() + self._settings.copy_timeout
        while True:
            answer = self._ask(
                "sending",
                lambda: self.host.run(
                    "closure_take",
                    limit=self._settings.copy_timeout + PATIENCE,
                    id=self._name,
                    end="from",
                    number=str(at),
                    patience=str(PATIENCE),
                ),
            )
            if answer.get("last"):
                return self._checked(Piece(self._decoded(answer.get("piece")), answer.get("last") == "yes"))
            if answer.get("failed"):
                raise HostError(f"{self.host.name} could not read it: {answer.get('failed')}", Refusal.NOT_EXPORTED)
            if time.monotonic() > ends:
                raise HostError(
                    f"{self.host.name} has handed out nothing for {self._settings.copy_timeout} s", Refusal.TOO_SLOW
                )

    def _decoded(self, text: str) -> bytes:
        try:
            return base64.b64decode(text)
        except ValueError as error:
            raise HostError(f"{self.host.name} has sent a piece that is none: {error}", Refusal.NO_ANSWER) from error

    def _checked(self, piece: Piece) -> Piece:
        if self._checks:
            self._checks[0].feed(piece.data, piece.last)
            if piece.last:
                self._checks.pop(0)
        return piece

    def close(self) -> None:
        """It need not keep anything any more. If that cannot be said, it finds out by itself after a while."""
        with suppress(HostError, AnsibleError):
            self.host.run("closure_end", limit=60, id=self._name, end="from", tops="")

    def _ask(self, doing: str, command: Callable[[], Answer]) -> Answer:
        return _persist(self.host, self._settings, doing, command)


class Target:
    """A host that gets the closure, or what it lacks of it."""

    def __init__(self, host: Host, settings: ClosureSettings, name: str) -> None:
        self.host = host
        self._settings = settings
        self._name = name
        self._tops = " ".join(settings.wanted[host.name])
        self.complete = False
        """Whether there is nothing to do, or nothing left to do."""
        self._largest = (0, "")
        """Of the paths that it lacks, with its size."""
        self.lacked = 0
        """Paths, before its substituters were asked."""
        self.pieces = 0
        self.batches = 0
        self.bytes_sent = 0

    def begin(self, closure: Closure, packed: str) -> frozenset[str]:
        """Have it keep what it has of the closure, and fetch what it may; the paths that it lacks then."""
        settings = self._settings
        answer = self.host.contact(
            settings.reconnect_timeout,
            lambda: self.host.run(
                "closure_begin",
                limit=_LOOK,
                id=self._name,
                end="to",
                wanted="\n".join(closure.of(self.host.name)),
                tops=self._tops,
                packed=packed,
                substitute="yes" if settings.how.substitute else "no",
                fetch_limit=str(settings.how.fetch_timeout),
                idle_limit=str(settings.idle_limit),
            ),
            "looking what it lacks of the closure",
        )
        self.lacked = number(answer.get("lacking").strip()) or 0
        if answer.get("complete"):
            self.complete = True
            return frozenset()
        if settings.how.substitute:
            self.host.tell(f"asks its substituters for {self.lacked} paths")
        limit = settings.how.fetch_timeout if settings.how.substitute else 0
        answer = self._wait(Until.LACKING, limit + settings.copy_timeout, "has not said what it lacks")
        missing = frozenset(lines(answer.get("missing")))
        if not missing <= closure.needs[self.host.name]:
            raise HostError(
                f"{self.host.name} says that it lacks paths that it was not asked about; nothing was copied",
                Refusal.NO_ANSWER,
            )
        self._refuse_without_room(closure.size(missing), number(answer.get("free")))
        self._largest = max((closure.sizes[path], path) for path in missing) if missing else (0, "")
        self._warn_of_memory(number(answer.get("memory_available")), number(answer.get("swap")))
        # What it has fetched itself it has looked at.
        if settings.how.check_signatures and missing:
            self._have_it_trust([path for path in closure.of(self.host.name) if path in missing], closure.signed)
        return missing

    def put(self, piece: Piece) -> None:
        """Send one piece, and wait until there is room for another."""
        settings, at = self._settings, self.pieces + 1
        size = len(piece.data)
        answer = self._ask(
            "getting the closure",
            lambda: self.host.run(
                "closure_put",
                limit=settings.copy_timeout + PATIENCE,
                data=piece.data,
                id=self._name,
                end="to",
                number=str(at),
                size=str(size),
                last="yes" if piece.last else "no",
                until=Until.ROOM,
                patience=str(PATIENCE),
            ),
        )
        if got := answer.get("got"):
            raise HostError(f"{self.host.name} has taken {got} of {size} bytes: is /run full there?", Refusal.NO_SPACE)
        self.pieces = at
        self.bytes_sent += size
        self.batches += piece.last
        if not answer.get("there"):
            self._wait(Until.ROOM, settings.copy_timeout, "has not put into its store what it got")

    def end(self) -> None:
        """Wait until all of it is in the store, and is kept for a deployment."""
        self._wait(str(self.batches), self._settings.copy_timeout, "has not put into its store what it got")
        answer = self._ask(
            "ending the copy",
            lambda: self.host.run("closure_end", limit=_LOOK, id=self._name, end="to", tops=self._tops),
        )
        if unsigned := answer.get("unsigned"):
            self.host.warn(f"has the closure, and could not keep what it was signed with: {unsigned}")
        self.complete = True

    def give_up(self) -> None:
        """It need not keep anything any more. If that cannot be said, it finds out by itself after a while."""
        with suppress(HostError, AnsibleError):
            self.host.run("closure_end", limit=60, id=self._name, end="to", tops="")

    def _wait(self, until: str, limit: int, what_not: str) -> Answer:
        ends = time.monotonic() + limit
        while time.monotonic() < ends:
            answer = self._ask(
                "getting the closure",
                lambda: self.host.run(
                    "closure_put",
                    limit=PATIENCE + 60,
                    id=self._name,
                    end="to",
                    number="0",
                    size="",
                    until=until,
                    patience=str(PATIENCE),
                ),
            )
            if answer.get("there"):
                return answer
        raise HostError(f"{self.host.name} {what_not} within {limit} s: is its disk slow?", Refusal.TOO_SLOW)

    def _have_it_trust(self, paths: Sequence[str], signed: Mapping[str, Signed]) -> None:
        """HostError where it asks for signatures and trusts none of some path; before any is sent."""
        said = signatures.write(paths, signed).encode()
        self._ask(
            "showing the signatures",
            lambda: self.host.run(
                "closure_trust", limit=_LOOK, data=said, id=self._name, end="to", size=str(len(said))
            ),
        )

    def _refuse_without_room(self, size: int, free: int | None) -> None:
        needed = (size >> 10) + _SPARE
        if free is None or free >= needed or ALLOWS_LITTLE_SPACE in self._settings.allow:
            return
        raise HostError(
            f"{self.host.name} has {free >> 10} MiB free on /nix, and needs {needed >> 10} MiB for what it lacks of the"
            " closure; nothing was copied. Free some with the playbook generations, with deploy_flake_collect_garbage;"
            " or, where its file system compresses, allow 'little_space' (deploy_flake_allow)",
            Refusal.NO_SPACE,
        )

    def _warn_of_memory(self, available: int | None, swap: int | None) -> None:
        """It may have less by the time it needs it, or more, so it is tried."""
        size, path = self._largest
        if available is not None and available + (swap or 0) < size >> 10:
            self.host.warn(
                f"has {available >> 10} MiB of memory free and {(swap or 0) >> 10} MiB of swap, and Nix needs"
                f" {size >> 20} MiB to import {path}: it may be killed for want of memory"
            )

    def _ask(self, doing: str, command: Callable[[], Answer]) -> Answer:
        answer = _persist(self.host, self._settings, doing, command)
        if answer.get("failed"):
            raise self._failure(answer)
        return answer

    def _failure(self, answer: Answer) -> HostError:
        said = answer.get("failed")
        if answer.get("code") == Refusal.NO_SPACE:
            free = (number(answer.get("free")) or 0) >> 10
            return HostError(
                f"{self.host.name} has no more room on /nix ({free} MiB are free): {said}."
                " What had come is garbage that the next garbage collection removes. Free some with the playbook"
                " generations, with deploy_flake_collect_garbage",
                Refusal.NO_SPACE,
            )
        if answer.get("code") == Refusal.NO_MEMORY:
            size, path = self._largest
            return HostError(
                f"{self.host.name} had too little memory: Nix has each path whole in it while it imports it. The"
                f" largest one is {path}, with {size_in_words(size)}. What had come before is garbage that"
                " the next garbage collection removes. Give the host more memory or swap (zramSwap.enable), or let it"
                f" fetch from a binary cache (substitute, deploy_flake_substitute). {said}".strip(),
                Refusal.NO_MEMORY,
            )
        return HostError(f"{self.host.name} could not import it: {said}", Refusal.NOT_IMPORTED)


def _persist(host: Host, settings: ClosureSettings, doing: str, command: Callable[[], Answer]) -> Answer:
    """Ask again while the host does not answer; CutOffError where it knows nothing of the copy any more."""
    answer = host.persist(settings.reconnect_timeout, command, doing, begun=True)
    if answer.get("gone"):
        raise CutOffError(
            f"{host.name} knows nothing of the copy any more: it was restarted, or somebody has ended"
            " deploy-flake-closure-*.service there",
            Refusal.KILLED,
        )
    return answer
