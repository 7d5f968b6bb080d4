# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that builds for others, and what it has built for them.

Each host that is deployed to has a process of its own. The one that comes first has all systems built that are its
builder's share; the others wait for it, and find theirs.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ansible.errors import AnsibleError

from .._codes import BuildResult, Refusal
from .._flake.store_path import is_built
from .._host.answer import HostError
from . import build as here
from .evaluate import Evaluated, evaluate_together
from .settings import BuildContext, BuildSettings
from .target import Target
from .transfer import Sources
from .turns import OF_THE_BUILDER, Turns
from .unit_build import End, UnitBuild

T = TypeVar("T")
Systems = Mapping[str, Mapping[str, str]]
"""By the names of what it was built from: each one's `toplevel`, its `derivation`, and what keeps it (`hold`)."""
_NOTHING_DONE = {"built": 0, "copied": 0, "downloaded_bytes": 0, "attached": False, "changed": False}
_LIMIT = 90
"""Seconds for what takes none."""
_AT_ONCE = 10
"""Configurations in one evaluation: each of them takes some half a GiB of memory until it ends."""


def drop(turns: Turns, paths: Sequence[str]) -> None:
    """Roots on a builder that a deployment lets go of, which may never be one there, unless it is the host itself."""
    if turns.builder is not turns.host:
        with suppress(HostError, AnsibleError):
            turns.builder.run("copy_drop", paths="\n".join(paths), limit=_LIMIT)


class Builder:
    """One host that builds, for one of those that it builds for."""

    def __init__(
        self, turns: Turns, settings: BuildSettings, context: BuildContext, sources: Sources, share: Sequence[str]
    ) -> None:
        self.host = turns.builder
        self._turns = turns
        self._settings = settings
        self._context = context
        self._sources = sources
        self._share = share
        self._target = Target.of(self.host, settings, sources.reference, sources.file)

    def built(self, gone: str = "") -> dict[str, Any]:
        """The system, as some process has had it built or this one does; one that is gone counts as not built."""
        name = self._target.name
        counts: Mapping[str, Any] = {}
        with self._turns.take(f"builds '{name}' or others"):
            known = self._known()
            if self._target.configuration and not known.together and len(self._share) > 1:
                systems, counts = self._build_together()
                # Nobody else is to try it, from here on.
                known.add(systems, together=True)
            found = known.systems.get(name)
            if not found or found["toplevel"] == gone:
                found, counts = self._build_one()
                known.add({name: found})
            return {**_NOTHING_DONE, **counts, **found}

    def _build_one(self) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        settings, sources = self._settings, self._sources
        with self._kept() as keep:

            def attempt() -> dict[str, Any]:
                keep(sources.paths)
                return here.build_one(self.host, settings, sources.reference, sources, {}, self._context.needs_system)[
                    0
                ]

            result = here.with_inputs(self.host, sources, attempt)
            if not is_built(path := result["toplevel"]):
                said = f"{self.host.name} says that it built {path}, which is not the store path of a system"
                raise HostError(said, Refusal.NO_ANSWER)
            system = {"toplevel": path, "derivation": result["derivation"], "hold": keep(path)}
            self._drop([sources.paths, *([path] if system["hold"] else [])])
            return system, result

    def _build_together(self) -> tuple[Systems, Mapping[str, Any]]:
        """All of them in one build; none where that fails, so that each one's error is its own."""
        builder, settings, sources = self.host, self._settings, self._sources
        try:
            with self._kept() as keep:

                def attempt() -> dict[str, Evaluated]:
                    keep(sources.paths)
                    sources.bring()
                    found: dict[str, Evaluated] = {}
                    for at in range(0, len(self._share), _AT_ONCE):
                        found |= evaluate_together(builder, settings, sources, self._share[at : at + _AT_ONCE])
                        # It may take a while until they are built.
                        keep("\n".join(one.derivation for one in found.values()))
                    return found

                found = here.with_inputs(builder, sources, attempt)
                if not found:
                    raise HostError("none of them could be evaluated", Refusal.EVALUATION_FAILED)
                builder.tell(f"builds {len(found)} systems")
                derivations = tuple(f"{one.derivation}^out" for one in found.values())
                unit = UnitBuild(builder, settings, sources.reference, derivations, sources, {})
                if End.read(unit.follow()).result is not BuildResult.SUCCESS:
                    raise HostError("could not build all of them at once", Refusal.BUILD_FAILED)
                paths = [one.toplevel for one in found.values()]
                hold = keep("\n".join(paths))
                self._drop([sources.paths, *(paths if hold else [])])
                systems = {
                    name: {"toplevel": one.toplevel, "derivation": one.derivation, "hold": hold}
                    for name, one in found.items()
                }
                return systems, here.counts(unit)
        except HostError as error:
            if error.reason in OF_THE_BUILDER or error.reason == Refusal.NOT_LOCKED:
                raise
            builder.tell_more(str(error))
            done = "build" if error.reason == Refusal.BUILD_FAILED else "evaluate"
            builder.tell(f"could not {done} all of them at once; it builds each by itself")
            return {}, {}

    @contextmanager
    def _kept(self) -> Iterator[Callable[[str], str]]:
        """Keep paths, one a line, from garbage collection, whatever deployment or other task ends on the builder.

        Until the systems were brought, for a day at most. It returns by which name, or "" where that cannot be.
        """
        name = secrets.token_hex(8)

        def keep(paths: str) -> str:
            try:
                self.host.contact(
                    self._settings.reconnect_timeout,
                    lambda: self.host.run("closure_hold", limit=_LIMIT, id=name, end="from", paths=paths),
                    "keeping what is built there",
                )
            except HostError as error:
                if error.reason in OF_THE_BUILDER - {Refusal.LOST}:
                    raise
                # What comes next finds out whether it is back. What was built is in its store.
                self.host.warn(f"cannot keep from garbage collection what it builds for others: {error}")
                self._end(name)
                return ""
            return name

        try:
            yield keep
        except BaseException:
            self._end(name)
            raise

    def _end(self, hold: str) -> None:
        if self.host.reached:
            with suppress(HostError, AnsibleError):
                self.host.run("closure_end", limit=_LIMIT, id=hold, end="from", tops="")

    def brought(self) -> None:
        """It need not keep the system any more, once each of those that were built with it has come to a host."""
        systems = self._known().systems
        if not (mine := systems.get(self._target.name)):
            return
        if not (hold := mine["hold"]):
            self._drop([mine["toplevel"]])
            return
        self._shared_file("brought", hold, self._target.name).touch()
        others = [name for name, one in systems.items() if one["hold"] == hold]
        if all(self._shared_file("brought", hold, name).exists() for name in others):
            self._end(hold)

    def _drop(self, paths: Sequence[str]) -> None:
        drop(self._turns, paths)

    def _known(self) -> _Known:
        return _Known(self._shared_file())

    def _shared_file(self, *what: str) -> Path:
        """Of the hosts whose systems are built of the same."""
        settings = self._settings
        # Two hosts of one task may have flakes or settings of their own, in which the same name means something else.
        of = (self._sources.reference, settings.file, settings.attribute)
        means = (*of, settings.build_args, settings.nix_config, *what)
        key = hashlib.sha256(json.dumps(means).encode()).hexdigest()
        return self._context.shared_file(f"built on {self.host.name} of {key}")


class _Known:
    """What was built by one builder in this task, in a file of Ansible's own temporary directory."""

    def __init__(self, file: Path) -> None:
        self._file = file
        said = json.loads(file.read_text("utf-8")) if file.exists() else {}
        self.together: bool = said.get("together", False)
        """Whether somebody has had all of them built at once, or has tried."""
        self.systems: dict[str, Mapping[str, str]] = said.get("systems", {})

    def add(self, systems: Systems, together: bool = False) -> None:
        """Systems that were built, for the others too."""
        self.systems |= systems
        self.together = self.together or together
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps({"together": self.together, "systems": self.systems}), "utf-8")
        written.replace(self._file)
