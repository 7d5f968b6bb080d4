# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds a system on another host than the one that it is for, and brings it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from .._closure.copy import copy_closure
from .._closure.settings import ClosureSettings
from .._codes import OnOlder, Refusal
from .._flake.local import is_remote
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .._host.scripts import SYSTEM
from . import build as here
from .builder import Builder, drop
from .evaluate import Evaluated, evaluate, evaluate_value
from .older import compared, refuse_older
from .settings import BuildContext, BuildSettings
from .target import Target
from .transfer import Sources
from .turns import Turns

_LIMIT = 90
"""Seconds for a look at a store."""


def build(
    host: Host, settings: BuildSettings, context: BuildContext, look: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Answer]:
    """Build where the settings say, so that the host has it; the return values and the host's last answer."""
    builders = settings.build_on
    if not builders or context.host_of is None:
        return here.build(host, settings, context, look)
    if settings.toplevel:
        try:
            return here.build(host, settings, context, look)
        except HostError as error:
            if error.reason != Refusal.NOT_THERE:
                raise
            for name in builders:
                elsewhere = _Elsewhere(host, context.host_of(name), settings, context)
                if found := elsewhere.fetch(look or {}):
                    return found
            none = f"{error}\nNor has it {' or '.join(builders)} (build_on, deploy_flake_build_on)."
            raise HostError(none, error.reason) from error
    configuration = settings.configuration or host.on_behalf_of
    # With many hosts that is a long look, which a single builder of single systems has no use for.
    others = context.configurations() if settings.build_together or len(builders) > 1 else {}
    needed = {**others, configuration: True}
    # Whose share it is does not change when a host fails meanwhile.
    names = sorted(needed)
    # Where each host has a flake of its own, none knows of the others.
    at = (names.index(configuration) if len(names) > 1 else sha256(configuration.encode()).digest()[0]) % len(builders)
    share = (
        [name for name in names[at :: len(builders)] if needed[name]] if settings.build_together else [configuration]
    )
    elsewhere = _Elsewhere(host, context.host_of(builders[at]), settings, context)
    return elsewhere.build(configuration, share, look or {})


def evaluated(host: Host, settings: BuildSettings, context: BuildContext, apply: str) -> Any:
    """What a function of Nix makes of what the settings name, where they say that it is built, as JSON has it."""
    if settings.build_on and context.host_of is not None:
        return _Elsewhere(host, context.host_of(settings.build_on[0]), settings, context).evaluated(apply)
    with here.sources_for(host, settings, context) as sources:
        sources.refuse_unlocked(settings.build_args)

        def attempt() -> Any:
            sources.bring()
            target = Target.of(host, settings, sources.reference, sources.file)
            return evaluate_value(host, settings, sources.reference, target, apply, sources.paths)

        return here.with_inputs(host, sources, attempt)


def bring(host: Host, source: Host, settings: BuildSettings, path: str) -> None:
    """Copy what one host has built to another, with all that it needs."""
    _brought, failure = _copy(host, source, settings, path)
    if failure:
        raise failure


def _copy(host: Host, source: Host, settings: BuildSettings, path: str) -> tuple[dict[str, Any], Exception | None]:
    """What was copied, and why the target does not have it all the same, where it has failed."""
    if source is host:
        return {"changed": False, "copied": 0, "substituted": 0, "bytes_sent": 0}, None
    closure = ClosureSettings(
        source=source.name,
        wanted={host.name: (path,)},
        how=settings.closure,
        copy_timeout=settings.copy_timeout,
        reconnect_timeout=settings.reconnect_timeout,
        allow=settings.allow,
    )
    with _as_of_a_system(host):
        results, failures = copy_closure(closure, {source.name: source, host.name: host}.__getitem__)
    return results.get(host.name, {}), failures.get(host.name)


@contextmanager
def _as_of_a_system(host: Host) -> Iterator[None]:
    """On its way it is kept under no profile's name: the units that do it know of none."""
    kind, host.kind = host.kind, SYSTEM
    try:
        yield
    finally:
        host.kind = kind


class _Elsewhere:
    """One host's way to a system that another one builds, or has built."""

    def __init__(self, host: Host, builder: Host, settings: BuildSettings, context: BuildContext) -> None:
        self._host = host
        self._builder = builder
        self._settings = settings
        self._context = context
        self._turns = Turns(builder, host, context)
        self._of_host: Exception | None = None

    def build(self, configuration: str, share: Sequence[str], look: Mapping[str, str]) -> tuple[dict[str, Any], Answer]:
        """Have it built, bring it, and let the host look at it."""
        # Whether it leads back, and where the link is, is the host's own business.
        settings = replace(self._settings, configuration=configuration, on_older=OnOlder.ALLOW, out_link="")
        with self._asking(), self._sources(settings) as sources:
            sources.refuse_unlocked(settings.build_args)
            if self._context.check_mode and not settings.check_builds:
                return self._evaluate(settings, sources), Answer()
            if not self._context.is_deployed:
                settings = replace(settings, out_link=self._settings.out_link)
                attempt = partial(here.build_one, self._builder, settings, sources.reference, sources, {}, False)
                result, answer = here.with_inputs(self._builder, sources, attempt)
                drop(self._turns, [sources.paths, *(result["outputs"].values() if settings.out_link else ())])
                return {**result, **sources.facts(), "built_on": self._builder.name}, answer
            builder = Builder(self._turns, settings, self._context, sources, share)
            result = builder.built()
            deliver = partial(self._deliver, builder, sources, look)
            try:
                brought, fetched, answer = deliver(result["toplevel"])
            except HostError as error:
                # What one process has had built, another one finds later on; garbage may have been collected meanwhile.
                may_be_gone = error.reason in (Refusal.NOT_THERE, Refusal.NOT_VALID)
                if not may_be_gone or not self._builder_lacks(result["toplevel"]):
                    raise
                self._builder.tell(f"does not have {result['toplevel']} any more, and builds it again")
                result = builder.built(gone=result["toplevel"])
                brought, fetched, answer = deliver(result["toplevel"])
            what = {
                **fetched,
                "built_on": self._builder.name,
                "configuration": Target.of(self._host, settings, sources.reference, sources.file).configuration,
                "derivation": result["derivation"] or fetched["derivation"],
                "changed": any((result["changed"], brought["changed"], fetched["changed"], sources.bytes_sent)),
                "copied": fetched["copied"] + result["copied"] + brought["copied"] + brought["substituted"],
                "built": result["built"],
                "downloaded_bytes": fetched["downloaded_bytes"] + result["downloaded_bytes"],
                "attached": result["attached"],
            }
            facts = sources.facts()
            return {**what, **facts, "bytes_sent": facts["bytes_sent"] + brought["bytes_sent"]}, answer

    def fetch(self, look: Mapping[str, str]) -> tuple[dict[str, Any], Answer] | None:
        """Bring a system that was built already, and let the host look at it; None where the builder lacks it too."""
        toplevel = self._settings.toplevel
        with self._asking():
            with self._turns.take("is asked for a system"):
                if self._builder is self._host or self._ask(self._builder, toplevel).all("missing"):
                    return None
            brought = self._bring(toplevel)
            try:
                with self._asking_the_host():
                    fetched, answer = here.fetch(
                        self._host, self._settings, look, needs_system=self._context.needs_system
                    )
            finally:
                self._let_go(toplevel)
            copied = fetched["copied"] + brought["copied"] + brought["substituted"]
            changed = fetched["changed"] or brought["changed"]
            return {**fetched, "built_on": self._builder.name, "changed": changed, "copied": copied}, answer

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """A builder that fails makes no other host unreachable, and nobody has to look for its fault there."""
        try:
            yield
        except (AnsibleError, HostError) as error:
            if error is self._of_host:
                raise
            of_builder = self._turns.failed(error)
            if self._builder is self._host or of_builder is error:
                raise
            raise of_builder from error

    @contextmanager
    def _asking_the_host(self) -> Iterator[None]:
        """Within the other: what fails here is the host's own."""
        try:
            yield
        except (AnsibleError, HostError) as error:
            self._of_host = error
            raise

    @contextmanager
    def _sources(self, settings: BuildSettings) -> Iterator[Sources]:
        """What the builder needs of the flake. It may be asked what a remote one is."""
        self._turns.refuse_lost()
        is_asked = is_remote(settings.flake, Path.cwd())
        with self._turns.take("is asked about the flake") if is_asked else nullcontext():
            sources = here.sources_for(self._builder, settings, self._context)
        with sources:
            yield sources

    def _deliver(
        self, builder: Builder, sources: Sources, look: Mapping[str, str], toplevel: str
    ) -> tuple[dict[str, Any], dict[str, Any], Answer]:
        """Bring it to the host, and have that look at it."""
        brought = self._bring(toplevel)
        try:
            with self._asking_the_host():
                settings = replace(self._settings, toplevel=toplevel)
                return brought, *here.fetch(self._host, settings, look, sources, self._context.needs_system)
        finally:
            self._let_go(toplevel)
            builder.brought()

    def _bring(self, toplevel: str) -> dict[str, Any]:
        """Copy it to the host, with all that it needs."""
        brought, failure = _copy(self._host, self._builder, self._settings, toplevel)
        if failure:
            with self._asking_the_host():
                raise failure
        return brought

    def _let_go(self, toplevel: str) -> None:
        """What was a root on its way; from then on a profile has roots of its own."""
        if self._host.kind.name and self._builder is not self._host:
            with _as_of_a_system(self._host), suppress(HostError, AnsibleError):
                self._host.run("copy_drop", paths=toplevel, limit=_LIMIT)

    def _ask(self, host: Host, path: str, ask_committed: bool = False) -> Answer:
        """Whether a host has a path, and what it has committed last; it keeps nothing for that."""
        return host.contact(
            self._settings.reconnect_timeout,
            lambda: host.run("store_has", limit=_LIMIT, paths=path, ask_committed="yes" if ask_committed else "no"),
            "looking what it has",
        )

    def _builder_lacks(self, path: str) -> bool:
        with suppress(HostError, AnsibleError):
            return bool(self._ask(self._builder, path).all("missing"))
        return False

    def evaluated(self, apply: str) -> Any:
        """What a function makes of what the settings name; evaluated by the builder."""
        builder, settings = self._builder, self._settings
        with self._asking(), self._sources(settings) as sources:
            sources.refuse_unlocked(settings.build_args)
            target = Target.of(builder, settings, sources.reference, sources.file)

            def attempt() -> Any:
                with self._turns.take("gets the flake"):
                    sources.bring()
                return evaluate_value(builder, settings, sources.reference, target, apply, sources.paths)

            found = here.with_inputs(builder, sources, attempt)
            drop(self._turns, [sources.paths])
            return found

    def _evaluate(self, settings: BuildSettings, sources: Sources) -> dict[str, Any]:
        """The return values, where the configuration is evaluated and not built: by the builder, in check mode."""
        host, builder = self._host, self._builder
        target = Target.of(builder, settings, sources.reference, sources.file)

        def attempt() -> Evaluated:
            with self._turns.take("gets the flake"):
                sources.bring()
            return evaluate(builder, settings, sources.reference, target, sources.paths)

        found = here.with_inputs(builder, sources, attempt)
        drop(self._turns, [sources.paths])
        valid = found.valid
        if self._context.is_deployed:
            of = compared(self._settings, sources)
            with self._asking_the_host():
                answer = self._ask(host, found.toplevel, ask_committed=of is not None)
                if of:
                    refuse_older(host, of, self._settings.on_older, answer)
            valid = not answer.all("missing")
        return {
            "built": 0,
            "copied": 0,
            "downloaded_bytes": 0,
            "attached": False,
            **sources.facts(),
            "changed": not valid,
            "toplevel": found.toplevel,
            "outputs": {},
            "valid": valid,
            "derivation": found.derivation,
            "configuration": target.configuration,
            "built_on": builder.name,
        }
