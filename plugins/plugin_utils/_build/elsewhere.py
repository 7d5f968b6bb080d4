# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds a system on another host than the one that it is for, and brings it there.

Each host has a process of its own. The one that comes first has all systems built that its builder is to build; the
others wait for it, and find theirs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from .._closure.copy import copy_closure
from .._closure.settings import ClosureSettings
from .._codes import BuildResult, OnOlder, Refusal
from .._flake.local import is_remote
from .._host.answer import Answer, HostError
from .._host.connection import Host
from . import build as here
from .evaluate import evaluate, evaluate_together
from .settings import BuildContext, BuildSettings
from .target import Target
from .transfer import Sources
from .unit_build import End, UnitBuild
from .waiting import telling

T = TypeVar("T")
_NOTHING = {"built": 0, "copied": 0, "downloaded_bytes": 0, "attached": False, "changed": False}


def build(
    host: Host, settings: BuildSettings, context: BuildContext, look: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Answer]:
    """Build where the settings say, so that the host has it; the return values and the host's last answer."""
    if settings.toplevel or not settings.build_on or context.host_of is None:
        return here.build(host, settings, context, look)
    if not settings.flake and is_remote(settings.reference, Path.cwd()):
        settings = replace(settings, flake=settings.reference, reference="")
    configuration = settings.configuration or host.on_behalf_of
    names = sorted({configuration, *(context.configurations() if settings.build_together else ())})
    builders = settings.build_on
    at = names.index(configuration) % len(builders)
    builder = context.host_of(builders[at])
    elsewhere = _Elsewhere(host, builder, settings, context)
    return elsewhere.build(configuration, names[at :: len(builders)], look or {})


class _Elsewhere:
    """One host's way to a system that another one builds."""

    def __init__(self, host: Host, builder: Host, settings: BuildSettings, context: BuildContext) -> None:
        self._host = host
        self._builder = builder
        self._settings = settings
        self._context = context
        self._of_host: AnsibleError | None = None

    def build(self, configuration: str, share: Sequence[str], look: Mapping[str, str]) -> tuple[dict[str, Any], Answer]:
        """Have it built, bring it, and let the host look at it."""
        # Whether it leads back, and where the link is, is the host's own business.
        settings = replace(self._settings, configuration=configuration, on_older=OnOlder.ALLOW, out_link="")
        with self._asking(), here.sources_for(self._builder, settings, self._context) as sources:
            sources.refuse_unlocked(settings.build_args)
            if self._context.check_mode and not settings.check_builds:
                return self._evaluate(settings, sources), Answer()
            if not self._context.needs_system:
                settings = replace(settings, out_link=self._settings.out_link)
                attempt = partial(here.build_one, self._builder, settings, sources.reference, sources, {}, False)
                result, answer = here.with_inputs(self._builder, sources, attempt)
                return {**result, **sources.facts(), "built_on": self._builder.name}, answer
            result = self._built(settings, sources, share)
            deliver = partial(self._deliver, sources, configuration, share, look)
            try:
                brought, fetched, answer = deliver(result["toplevel"])
            except HostError as error:
                gone = Refusal.NOT_THERE if self._builder is self._host else Refusal.NOT_VALID
                if error.reason != gone:
                    raise
                # What one process has had built, another one finds later on; garbage may have been collected meanwhile.
                self._builder.tell(f"does not have {result['toplevel']} any more, and builds it again")
                result = self._built(settings, sources, share, gone=result["toplevel"])
                brought, fetched, answer = deliver(result["toplevel"])
            what = {
                **fetched,
                "configuration": Target.of(self._host, settings, sources.reference, sources.file).configuration,
                "derivation": result["derivation"] or fetched["derivation"],
                "built_on": self._builder.name,
                "changed": any((result["changed"], brought["changed"], fetched["changed"], sources.bytes_sent)),
                "copied": fetched["copied"] + result["copied"] + brought["copied"] + brought["substituted"],
                "built": result["built"],
                "downloaded_bytes": fetched["downloaded_bytes"] + result["downloaded_bytes"],
                "attached": result["attached"],
            }
            facts = sources.facts()
            return {**what, **facts, "bytes_sent": facts["bytes_sent"] + brought["bytes_sent"]}, answer

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """A builder that fails makes no other host unreachable, and nobody has to look for its fault there."""
        try:
            yield
        except AnsibleError as error:
            if self._builder is self._host or error is self._of_host:
                raise
            builder, host = self._builder.name, self._host.name
            lost = isinstance(error, AnsibleConnectionFailure)
            what = "was lost" if lost and self._builder.reached else "cannot be reached" if lost else "cannot be asked"
            raise HostError(
                f"{builder}, which is to build for {host}, {what}: {error}. {host}'s system is untouched",
                Refusal.LOST if lost else Refusal.NO_ANSWER,
            ) from error

    @contextmanager
    def _asking_the_host(self) -> Iterator[None]:
        """Within the other: what fails here is the host's own."""
        try:
            yield
        except AnsibleError as error:
            self._of_host = error
            raise

    def _deliver(
        self, sources: Sources, configuration: str, share: Sequence[str], look: Mapping[str, str], toplevel: str
    ) -> tuple[dict[str, Any], dict[str, Any], Answer]:
        """Bring it to the host, and have that look at it."""
        brought = self._bring(toplevel)
        self._let_go(sources, share, configuration)
        with self._asking_the_host():
            return brought, *here.fetch(self._host, replace(self._settings, toplevel=toplevel), look, sources)

    def _built(self, settings: BuildSettings, sources: Sources, share: Sequence[str], gone: str = "") -> dict[str, Any]:
        """The system, as some process has had it built or this one does; one that is gone counts as not built."""
        target = Target.of(self._builder, settings, sources.reference, sources.file)
        counts: Mapping[str, Any] = {}
        with self._shared(target, sources.reference) as known:
            if target.configuration and not known.together and len(share) > 1:
                known.together = True
                systems, counts = self._build_together(settings, sources, share)
                known.add(systems)
            if (found := known.systems.get(target.name)) and found["toplevel"] != gone:
                return {**_NOTHING, **counts, **found}
            attempt = partial(here.build_one, self._builder, settings, sources.reference, sources, {}, True)
            result, _answer = here.with_inputs(self._builder, sources, attempt)
            known.add({target.name: {name: result[name] for name in ("toplevel", "derivation")}})
            self._drop(sources.paths)
            return result

    def _build_together(
        self, settings: BuildSettings, sources: Sources, share: Sequence[str]
    ) -> tuple[dict[str, dict[str, Any]], Mapping[str, Any]]:
        """All of them in one evaluation and one build; none where that fails, so that each one's error is its own."""
        builder = self._builder
        try:
            found = here.with_inputs(
                builder,
                sources,
                lambda: _bring_and(sources, lambda: evaluate_together(builder, settings, sources, share)),
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
            self._hold(sources, systems)
            self._drop(sources.paths)
            return systems, here.counts(unit)
        except HostError as error:
            if error.reason in (Refusal.LOST, Refusal.NOT_ROOT, Refusal.NO_NIX, Refusal.SHUT_OUT, Refusal.NOT_LOCKED):
                raise
            builder.tell_more(str(error))
            builder.tell("could not evaluate all of them at once; it builds each by itself")
            return {}, {}

    @contextmanager
    def _shared(self, target: Target, reference: str) -> Iterator[_Known]:
        """What processes of this task have had the builder build; one of them at a time has it build something."""
        file = self._shared_file(reference)
        with self._context.shared_file(f"built on {self._builder.name}").with_suffix(".lock").open("a") as lock:
            with telling(self._host, f"waits for {self._builder.name}, which builds '{target.name}' or others"):
                fcntl.flock(lock, fcntl.LOCK_EX)
            known = _Known(file)
            try:
                yield known
            finally:
                known.write()

    def _shared_file(self, reference: str, *what: str) -> Path:
        """Of the hosts whose systems are built of the same."""
        settings = self._settings
        # Two hosts of one task may have flakes or settings of their own, in which the same name means something else.
        means = (reference, settings.file, settings.attribute, settings.build_args, settings.nix_config, *what)
        key = hashlib.sha256(json.dumps(means).encode()).hexdigest()
        return self._context.shared_file(f"built on {self._builder.name} of {key}")

    def _hold(self, sources: Sources, systems: Mapping[str, Mapping[str, str]]) -> None:
        """Have the builder keep what was built for others, whatever ends there meanwhile, for a day at most."""
        name = secrets.token_hex(8)
        paths = "\n".join(one["toplevel"] for one in systems.values())
        self._builder.run("closure_hold", limit=60, id=name, end="from", paths=paths)
        self._shared_file(sources.reference, "held").write_text(name, "utf-8")

    def _let_go(self, sources: Sources, share: Sequence[str], configuration: str) -> None:
        """Once each of the systems that were built at once has come to some host."""
        held, brought = (partial(self._shared_file, sources.reference, what) for what in ("held", "brought"))
        if not held().exists():
            return
        brought(configuration).touch()
        if all(brought(name).exists() for name in share):
            with suppress(HostError, AnsibleConnectionFailure):
                self._builder.run("closure_end", limit=60, id=held().read_text("utf-8"), end="from", tops="")

    def _bring(self, toplevel: str) -> dict[str, Any]:
        """Copy it to the host, with all that it needs; the builder need not keep it any more."""
        host, builder, settings = self._host, self._builder, self._settings
        if builder is host:
            return {"changed": False, "copied": 0, "substituted": 0, "bytes_sent": 0}
        closure = ClosureSettings(
            source=builder.name,
            wanted={host.name: (toplevel,)},
            how=settings.closure,
            copy_timeout=settings.copy_timeout,
            reconnect_timeout=settings.reconnect_timeout,
            allow=settings.allow,
        )
        results, failures = copy_closure(closure, {builder.name: builder, host.name: host}.__getitem__)
        self._drop(toplevel)
        if host.name in failures:
            with self._asking_the_host():
                raise failures[host.name]
        return results[host.name]

    def _evaluate(self, settings: BuildSettings, sources: Sources) -> dict[str, Any]:
        """The return values, where the configuration is evaluated and not built: by the builder, in check mode."""
        sources.bring()
        target = Target.of(self._builder, settings, sources.reference, sources.file)
        found = evaluate(self._builder, settings, sources.reference, target, sources.paths)
        with self._asking_the_host():
            lacks = bool(self._host.run("copy_ask", paths=found.toplevel, limit=60).all("missing"))
        with suppress(HostError, AnsibleConnectionFailure):
            self._host.run("copy_drop", paths=found.toplevel, limit=60)
        return {
            **_NOTHING,
            **sources.facts(),
            "changed": lacks,
            "toplevel": found.toplevel,
            "outputs": {},
            "valid": not lacks,
            "derivation": found.derivation,
            "configuration": target.configuration,
            "built_on": self._builder.name,
        }

    def _drop(self, paths: str) -> None:
        """Nothing of it is deployed on the builder, unless it is the host itself, whose deployment lets go of it."""
        if self._builder is not self._host:
            with suppress(HostError, AnsibleConnectionFailure):
                self._builder.run("copy_drop", paths=paths, limit=60)


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
