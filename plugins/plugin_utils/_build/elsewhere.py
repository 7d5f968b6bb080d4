# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds a system on another host than the one that it is for, and brings it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from .._closure.copy import copy_closure
from .._closure.settings import ClosureSettings
from .._codes import OnOlder, Refusal
from .._host.answer import Answer, HostError
from .._host.connection import Host
from . import build as here
from .builder import Builder
from .evaluate import evaluate
from .settings import BuildContext, BuildSettings
from .target import Target
from .transfer import Sources


def build(
    host: Host, settings: BuildSettings, context: BuildContext, look: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Answer]:
    """Build where the settings say, so that the host has it; the return values and the host's last answer."""
    if settings.toplevel or not settings.build_on or context.host_of is None:
        return here.build(host, settings, context, look)
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
            builder = Builder(self._builder, self._host, settings, self._context, sources, share)
            result = builder.built()
            deliver = partial(self._deliver, builder, sources, configuration, look)
            try:
                brought, fetched, answer = deliver(result["toplevel"])
            except HostError as error:
                gone = Refusal.NOT_THERE if self._builder is self._host else Refusal.NOT_VALID
                if error.reason != gone:
                    raise
                # What one process has had built, another one finds later on; garbage may have been collected meanwhile.
                self._builder.tell(f"does not have {result['toplevel']} any more, and builds it again")
                result = builder.built(gone=result["toplevel"])
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
        self, builder: Builder, sources: Sources, configuration: str, look: Mapping[str, str], toplevel: str
    ) -> tuple[dict[str, Any], dict[str, Any], Answer]:
        """Bring it to the host, and have that look at it."""
        brought = self._bring(builder, toplevel)
        builder.let_go(configuration)
        with self._asking_the_host():
            return brought, *here.fetch(self._host, replace(self._settings, toplevel=toplevel), look, sources)

    def _bring(self, builder: Builder, toplevel: str) -> dict[str, Any]:
        """Copy it to the host, with all that it needs; the builder need not keep it any more."""
        host, source, settings = self._host, self._builder, self._settings
        if source is host:
            return {"changed": False, "copied": 0, "substituted": 0, "bytes_sent": 0}
        closure = ClosureSettings(
            source=source.name,
            wanted={host.name: (toplevel,)},
            how=settings.closure,
            copy_timeout=settings.copy_timeout,
            reconnect_timeout=settings.reconnect_timeout,
            allow=settings.allow,
        )
        results, failures = copy_closure(closure, {source.name: source, host.name: host}.__getitem__)
        builder.drop(toplevel)
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
            "built": 0,
            "copied": 0,
            "downloaded_bytes": 0,
            "attached": False,
            **sources.facts(),
            "changed": lacks,
            "toplevel": found.toplevel,
            "outputs": {},
            "valid": not lacks,
            "derivation": found.derivation,
            "configuration": target.configuration,
            "built_on": self._builder.name,
        }
