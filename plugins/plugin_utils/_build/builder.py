# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that builds for others, and what it has built for them.

Each host that is deployed to has a process of its own. The one that comes first has all systems built that are its
builder's share; the others wait for it, and find theirs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ansible.errors import AnsibleConnectionFailure

from .._codes import BuildResult, Refusal
from .._flake.store_path import is_built
from .._host.answer import HostError
from .._host.connection import Host
from . import build as here
from .evaluate import evaluate_together
from .settings import BuildContext, BuildSettings
from .target import Target
from .transfer import Sources
from .unit_build import End, UnitBuild
from .waiting import telling

T = TypeVar("T")
_NOTHING_DONE = {"built": 0, "copied": 0, "downloaded_bytes": 0, "attached": False, "changed": False}


class Builder:
    """One host that builds, for one of those that it builds for."""

    def __init__(
        self,
        host: Host,
        built_for: Host,
        settings: BuildSettings,
        context: BuildContext,
        sources: Sources,
        share: Sequence[str],
    ) -> None:
        self.host = host
        self._built_for = built_for
        self._settings = settings
        self._context = context
        self._sources = sources
        self._share = share

    def built(self, gone: str = "") -> dict[str, Any]:
        """The system, as some process has had it built or this one does; one that is gone counts as not built."""
        settings, sources = self._settings, self._sources
        target = Target.of(self.host, settings, sources.reference, sources.file)
        counts: Mapping[str, Any] = {}
        with self._shared(target) as known:
            if target.configuration and not known.together and len(self._share) > 1:
                known.together = True
                systems, counts = self._build_together()
                known.add(systems)
            if (found := known.systems.get(target.name)) and found["toplevel"] != gone:
                return {**_NOTHING_DONE, **counts, **found}
            attempt = partial(here.build_one, self.host, settings, sources.reference, sources, {}, True)
            result, _answer = here.with_inputs(self.host, sources, attempt)
            if not is_built(result["toplevel"]):
                raise HostError(
                    f"{self.host.name} says that it built {result['toplevel']}, which is not the store path of a system",
                    Refusal.NO_ANSWER,
                )
            known.add({target.name: {name: result[name] for name in ("toplevel", "derivation")}})
            self.drop(sources.paths)
            return result

    def _build_together(self) -> tuple[dict[str, dict[str, Any]], Mapping[str, Any]]:
        """All of them in one evaluation and one build; none where that fails, so that each one's error is its own."""
        builder, settings, sources = self.host, self._settings, self._sources
        try:
            found = here.with_inputs(
                builder,
                sources,
                lambda: _bring_and(sources, lambda: evaluate_together(builder, settings, sources, self._share)),
            )
            if not found:
                return {}, {}
            builder.tell(f"builds {len(found)} systems")
            derivations = tuple(f"{one.derivation}^out" for one in found.values())
            unit = UnitBuild(builder, settings, sources.reference, derivations, sources, {})
            answer = unit.follow()
            if End.read(answer).result is not BuildResult.SUCCESS:
                builder.tell("could not build all of them at once; it builds each by itself")
                return {}, {}
            systems = {name: {"toplevel": one.toplevel, "derivation": one.derivation} for name, one in found.items()}
            self._hold(systems)
            self.drop(sources.paths)
            return systems, here.counts(unit)
        except HostError as error:
            if error.reason in (Refusal.LOST, Refusal.NOT_ROOT, Refusal.NO_NIX, Refusal.SHUT_OUT, Refusal.NOT_LOCKED):
                raise
            builder.tell_more(str(error))
            builder.tell("could not evaluate all of them at once; it builds each by itself")
            return {}, {}

    @contextmanager
    def _shared(self, target: Target) -> Iterator[_Known]:
        """What processes of this task have had the builder build; one of them at a time has it build something."""
        file = self._shared_file()
        with self._context.shared_file(f"built on {self.host.name}").with_suffix(".lock").open("a") as lock:
            with telling(self._built_for, f"waits for {self.host.name}, which builds '{target.name}' or others"):
                fcntl.flock(lock, fcntl.LOCK_EX)
            known = _Known(file)
            try:
                yield known
            finally:
                known.write()

    def _shared_file(self, *what: str) -> Path:
        """Of the hosts whose systems are built of the same."""
        settings = self._settings
        # Two hosts of one task may have flakes or settings of their own, in which the same name means something else.
        of = (self._sources.reference, settings.file, settings.attribute)
        means = (*of, settings.build_args, settings.nix_config, *what)
        key = hashlib.sha256(json.dumps(means).encode()).hexdigest()
        return self._context.shared_file(f"built on {self.host.name} of {key}")

    def _hold(self, systems: Mapping[str, Mapping[str, str]]) -> None:
        """Have the builder keep what was built for others, whatever ends there meanwhile, for a day at most."""
        name = secrets.token_hex(8)
        paths = "\n".join(one["toplevel"] for one in systems.values())
        self.host.run("closure_hold", limit=60, id=name, end="from", paths=paths)
        self._shared_file("held").write_text(name, "utf-8")

    def let_go(self, configuration: str) -> None:
        """Once each of the systems that were built at once has come to some host."""
        held, brought = (partial(self._shared_file, what) for what in ("held", "brought"))
        if not held().exists():
            return
        brought(configuration).touch()
        if all(brought(name).exists() for name in self._share):
            with suppress(HostError, AnsibleConnectionFailure):
                self.host.run("closure_end", limit=60, id=held().read_text("utf-8"), end="from", tops="")

    def drop(self, paths: str) -> None:
        """Nothing of it is deployed on the builder, unless it is the host itself, whose deployment lets go of it."""
        if self.host is not self._built_for:
            with suppress(HostError, AnsibleConnectionFailure):
                self.host.run("copy_drop", paths=paths, limit=60)


class _Known:
    """What was built by one builder in this task, in a file of Ansible's own temporary directory."""

    def __init__(self, file: Path) -> None:
        self._file = file
        said = json.loads(file.read_text("utf-8")) if file.exists() else {}
        self.together: bool = said.get("together", False)
        self.systems: dict[str, dict[str, Any]] = said.get("systems", {})

    def add(self, systems: Mapping[str, dict[str, Any]]) -> None:
        """Systems that were built, by the names of what they were built from."""
        self.systems |= systems

    def write(self) -> None:
        """For the others."""
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps({"together": self.together, "systems": self.systems}), "utf-8")
        written.replace(self._file)


def _bring_and(sources: Sources, work: Callable[[], T]) -> T:
    """With all that the builder lacks of the flake."""
    sources.bring()
    return work()
