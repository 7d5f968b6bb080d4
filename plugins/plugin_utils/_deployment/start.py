# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts a deployment: has the host look whether there is anything to do, and then the supervisor started."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._codes import LastResortReboot, Mode, Refusal, State
from .._flake.store_path import is_store_path
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .._host.scripts import Input
from .._secrets import staged
from .._secrets.staged import Staged
from . import check_mode, diff
from .context import Context
from .deployment import Deployment, new_id
from .settings import Settings
from .wait_while_busy import wait_while_busy
from .way_in import controller_of, refuse_unproven_way_in

_LIMIT = 240
"""Seconds for looking at the host, or for starting the supervisor."""


@dataclass(frozen=True)
class Started:
    """What has come of it."""

    deployment: Deployment | None
    """None where there is nothing to do, or in check mode."""
    before: Answer
    """What the host said of itself before."""
    answer: Answer
    """How the deployment does."""
    secrets: Staged | None = None
    """What is different of its secrets; None where nobody asked."""

    def with_secrets(self, result: Mapping[str, Any], diff_mode: bool) -> dict[str, Any]:
        """Return values, and those about secrets."""
        if self.secrets is None:
            return dict(result)
        shown = [self.secrets.diff()] if diff_mode and self.secrets.changes else []
        diffs = [*result.get("diff", ()), *shown]
        return {**result, "secrets": list(self.secrets.changes), **({"diff": diffs} if diffs else {})}


def start(
    host: Host,
    settings: Settings,
    mode: Mode,
    context: Context,
    rollback_to: str | None = None,
    since_boot: str = "",
) -> Started:
    """Start the supervisor for `settings.toplevel`, unless there is nothing to do. Waits while the host is busy.

    In check mode the host looks at what a deployment would do. In diff mode it is asked what changes. `rollback_to` is
    for a rollback: the host itself finds the system where it says `previous` or the number of a generation. The system
    was just built where the boot id of that moment is given as `since_boot`: then the host looks and starts in one go.
    """
    return _Start(host, settings, mode, context, rollback_to).run(since_boot)


def preflight(host: Host, settings: Settings) -> Answer:
    """What is refused of any system that is to become the boot default, before anything is begun."""
    return _Start(host, settings, Mode.BOOT, Context(), None).look(begins=False)


def look_at_profile(host: Host, settings: Settings) -> Answer:
    """What is refused of a generation of a profile, and whether there is anything to do; nothing is begun."""
    return _Start(host, settings, Mode.TEST, Context(), None).look_at_profile()


def look_inputs(host: Host, settings: Settings, mode: Mode) -> dict[str, str]:
    """What the host has to know to tell whether it runs a system already."""
    return {
        "specialisation": settings.specialisation,
        "mode": mode,
        "over_ssh": _yes(host.over_ssh),
        "allow": " ".join(settings.allow),
    }


class _Start:
    """The start of one deployment."""

    def __init__(self, host: Host, settings: Settings, mode: Mode, context: Context, rollback_to: str | None) -> None:
        self._host = host
        self._settings = settings
        self._mode = mode
        self._context = context
        self._rollback_to = rollback_to
        self._is_rollback = bool(rollback_to)
        self._secrets: Staged | None = None
        self._secrets_are_gone = False
        self._keeps_system = False
        """Whether nothing but secrets is to change."""
        self._generation = ""
        """The one that a rollback leads to, if any."""
        settings.refuse_without_step(context.strategy)
        # Only where hosts are tested one after another, and none commits before all are ready.
        batches = context.batches if settings.all_or_nothing and mode == Mode.TEST else 0
        self._limits = settings.limits.for_deployment(batches)
        self._deployment = Deployment(host, new_id(), settings.reconnect_timeout, self._limits)
        self._deployment.addresses = host.addresses(settings.confirm_hosts)

    def run(self, since_boot: str) -> Started:
        """Look and start, again and again while somebody else switches the host."""
        settings = self._settings
        if self._mode == Mode.TEST:
            refuse_unproven_way_in(self._host, settings.allow)
        if self._mode == Mode.BOOT:
            settings.refuse_without_test()
        if not self._rollback_to and not settings.only_secrets and not is_store_path(settings.toplevel):
            raise HostError(f"toplevel must be a store path, and is {settings.toplevel!r}", Refusal.NOT_A_STORE_PATH)
        built_in = iter([since_boot])
        try:
            if settings.has_secrets:
                self._stage()
                settings = self._settings
                if unchanged := self._nothing_to_do():
                    return replace(unchanged, secrets=self._secrets)
            started = self._wait_and_start(settings, built_in)
        except BaseException:
            # Also where the operator or the time limit of a task ends it.
            if not self._host.undecided:
                self._drop_secrets()
            raise
        if started.deployment is None:
            self._drop_secrets()
        return replace(started, secrets=self._secrets)

    def _wait_and_start(self, settings: Settings, built_in: Iterator[str]) -> Started:
        try:
            # After a wait for others the build is not that recent any more.
            return wait_while_busy(self._host, settings.lock_timeout, lambda: self._attempt_once(next(built_in, "")))
        except HostError as error:
            if self._context.check_mode and error.answer is not None:
                error.result = check_mode.refused(settings, error.answer)
            raise

    def _attempt_once(self, since_boot: str) -> Started:
        """An attempt, and no wait for what waits for this host under another name."""
        try:
            return self._attempt(since_boot)
        except HostError as error:
            # The host had them, and a wait or a reboot came between.
            self._secrets_are_gone = error.answer is not None and bool(error.answer.get("send_secrets"))
            holder = error.answer.get("holder") if error.reason == Refusal.BUSY and error.answer is not None else ""
            other = self._context.other_names.of(holder) if holder and self._waits_for_a_later_task else ""
            if other in ("", self._host.on_behalf_of):
                raise
            raise HostError(
                f"{self._host.name} is the same host as {other}, another name in the inventory, for which deployment"
                f" {holder} waits for confirmation by a later task; each would wait for the other. Deploy to it under"
                " one of its names alone (--limit, or the inventory)",
                Refusal.SAME_HOST,
                error.answer,
            ) from None

    @property
    def _waits_for_a_later_task(self) -> bool:
        """Whether it, and whatever else this task begins, is confirmed by a task that all hosts begin together."""
        return self._mode == Mode.TEST and not self._settings.confirm and not self._context.strategy

    def _attempt(self, since_boot: str) -> Started:
        host, context, deployment = self._host, self._context, self._deployment
        is_rollback = self._is_rollback
        if self._secrets_are_gone:
            self._stage()
            if unchanged_now := self._nothing_to_do():
                return unchanged_now
        if since_boot and not (context.check_mode or context.diff_mode or is_rollback or self._secrets_may_differ):
            answer = self._look_and_launch(since_boot)
            return Started(None if answer.get("unchanged") else deployment, answer, answer)
        before = self.look_at_profile() if host.kind.name else self.look(begins=True)
        unchanged = bool(before.get("unchanged"))
        if is_rollback:
            self._keep_target(before)
        if is_rollback and not unchanged:
            rolls = "would roll" if context.check_mode else "rolls"
            host.tell(f"{rolls} back to generation {self._generation}, {before.get('toplevel')}")
        if unchanged:
            return Started(None, before, before)
        # The host runs it already, and would boot it.
        self._keeps_system = deployment.only_secrets = bool(before.get("only_secrets"))
        if self._keeps_system:
            refuse_unproven_way_in(host, self._settings.allow)
        if context.check_mode:
            return Started(None, before, before)
        toplevel = before.get("toplevel") or self._settings.toplevel
        if context.diff_mode and not self._keeps_system:
            activated = before.get("new_live") if self._mode == Mode.TEST else toplevel
            deployment.changes = diff.look(host, activated, self._mode, self._settings.reconnect_timeout)
        answer = self._launch(toplevel, before)
        if answer.get("unchanged"):
            # Whoever had made it so has ended meanwhile.
            return Started(None, Answer([*answer.fields, *before.fields]), answer)
        return Started(deployment, before, answer)

    @property
    def _begins_as(self) -> Mode:
        """Secrets alone are tried live in any case: no boot is to come that would bring them to units."""
        return Mode.TEST if self._keeps_system else self._mode

    def _stage(self) -> None:
        """Send the secrets, and hear which are different. They wait on the host if a deployment is to follow."""
        # Once: what is sent again is the same, also where a command gives another one each time.
        settings = self._settings = self._settings.with_secrets_read()
        self._secrets = staged.stage(
            self._host,
            self._deployment.id,
            settings.secrets,
            "" if settings.only_secrets else settings.toplevel,
            remove_others=settings.remove_other_secrets,
            patience=settings.reconnect_timeout,
        )
        if settings.only_secrets:
            self._settings = settings.of(self._secrets.current)
        if changes := self._secrets.changes:
            would = "would get" if self._context.check_mode else "gets"
            self._host.tell(f"{would} secrets: {staged.told(changes)}")

    def _nothing_to_do(self) -> Started | None:
        """Where secrets are all that is meant, and none is different."""
        if not self._settings.only_secrets or self._secrets_may_differ:
            return None
        said = Answer([("unchanged", "yes"), ("previous_live", self._settings.toplevel)])
        return Started(None, said, said)

    @property
    def _secrets_may_differ(self) -> bool:
        return self._secrets is not None and self._secrets.may_differ

    @property
    def _brings_secrets(self) -> bool:
        return self._secrets is not None and self._secrets.waits

    def _drop_secrets(self) -> None:
        if self._brings_secrets:
            staged.drop(self._host, self._deployment.id)

    @property
    def _secrets_input(self) -> str:
        if self._secrets_may_differ:
            return "only" if self._settings.only_secrets else "yes"
        return "same" if self._brings_secrets else ""

    def _keep_target(self, before: Answer) -> None:
        """Whoever came before, and was waited for, may have rolled back too: the generation before that one's would be
        what everybody wanted to leave."""
        self._generation = before.get("generation_to") or self._generation
        if toplevel := before.get("toplevel"):
            self._settings = self._settings.of(toplevel)
            self._rollback_to = ""

    def look(self, begins: bool) -> Answer:
        """Ask whether there is anything to do, and whether it may be tried; in check mode, what it would do as well."""
        context, limits = self._context, self._limits
        limit = _LIMIT
        inputs: dict[str, Input] = {
            "new": self._settings.toplevel,
            **self._first_look_inputs(just_built=False),
            "begins": _yes(begins and not context.check_mode),
        }
        if context.check_mode:
            limit += limits.check_mode + (diff.LIMIT if context.diff_mode else 0)
            inputs |= {
                "id": self._deployment.id,
                "settings": self._unit_settings(),
                "check_mode_limit": str(limits.check_mode),
                "diff": _yes(context.diff_mode),
            }
        host = self._host
        return host.persist(
            self._settings.reconnect_timeout,
            lambda: host.run("preflight", limit=limit, data=b"", **inputs),
            "looking at the host",
        )

    def look_at_profile(self) -> Answer:
        """The same of a profile, in check mode too; and nothing more."""
        inputs = self._first_look_inputs(just_built=False)
        return self._host.persist(
            self._settings.reconnect_timeout,
            lambda: self._host.run("profile", limit=_LIMIT, data=b"", new=self._settings.toplevel, **inputs),
            "looking at the host",
        )

    def _look_and_launch(self, since_boot: str) -> Answer:
        """Where nobody has looked before, the command that starts the supervisor looks first."""
        look = {"preflight": "yes", **self._first_look_inputs(just_built=True)}
        return self._ask_to_start(self._settings.toplevel, since_boot, about(self._deployment.id, self._settings), look)

    def _launch(self, toplevel: str, before: Answer) -> Answer:
        look = {
            "preflight": "no",
            "new_live": before.get("new_live"),
            "seen_live": before.get("previous_live"),
            "seen_boot": before.get("previous_boot"),
            "allow": " ".join(self._settings.allow),
            "until_reboot": _yes(self._settings.until_reboot),
            "secrets": self._secrets_input,
        }
        names = self._secrets.names if self._secrets else ""
        text = about(self._deployment.id, self._settings, self._generation, names)
        return self._ask_to_start(toplevel, before.get("boot_id"), text, look)

    def _ask_to_start(self, toplevel: str, since_boot: str, about_it: str, look: dict[str, str]) -> Answer:
        """Start the supervisor, and wait for first news in the same go."""
        limits = self._limits
        if self._waits_for_a_later_task:
            self._context.other_names.note(self._deployment.id, self._host.on_behalf_of)
        return self._deployment.ask(
            "start",
            limit=_LIMIT,
            within=_LIMIT + (limits.unconfirmed if self._begins_as == Mode.TEST else limits.whole_run + limits.undo),
            awaited=(State.WINDOW,) if self._begins_as == Mode.TEST else (),
            since_boot=since_boot,
            new=toplevel,
            **{"mode": self._begins_as, **look},
            install_bootloader="yes" if self._settings.install_bootloader else "",
            login_user=self._host.login_user,
            runtime_limit=str(limits.whole_run),
            stop_limit=str(limits.undo),
            settings=self._unit_settings(),
            about=about_it,
        )

    def _first_look_inputs(self, just_built: bool) -> dict[str, str]:
        space = self._settings.min_free_space
        may_be_tried = self._mode == Mode.TEST or self._secrets_may_differ
        return {
            **look_inputs(self._host, self._settings, self._mode),
            "check_mode": _yes(self._context.check_mode),
            "secrets": self._secrets_input,
            "just_built": _yes(just_built),
            "expected_system": self._settings.expected_system,
            "until_reboot": _yes(self._settings.until_reboot),
            "from": controller_of(self._host, self._settings.allow) if may_be_tried else "",
            "rollback_to": "" if self._rollback_to is None else self._rollback_to or "toplevel",
            "need_nix_kib": str(space.nix * 1024),
            "need_boot_kib": "" if space.boot is None else str(space.boot * 1024),
        }

    def _unit_settings(self) -> dict[str, str]:
        """What the programs of units may have to know: each takes what it declares."""
        settings = self._settings
        values = {
            "specialisation": settings.specialisation,
            "expected_system": settings.expected_system,
            "mode": self._begins_as,
            "over_ssh": _yes(self._host.over_ssh),
            "policy": settings.health_policy,
            "ignore_units": "\n".join(settings.ignore_units),
            "pre_activate_script": settings.pre_activate_script,
            "post_activate_script": settings.post_activate_script,
            # A boot brings no secret that was put back already.
            "last_resort_reboot": LastResortReboot.NEVER if self._keeps_system else settings.last_resort_reboot,
            "on_reboot_required": settings.on_reboot_required,
            "only_secrets": _yes(self._keeps_system),
            "brings_secrets": _yes(self._brings_secrets),
            "until_reboot": _yes(settings.until_reboot),
            "settles_early": _yes(self._limits.settle is None),
        }
        limits = {f"{name}_limit": str(seconds) for name, seconds in self._limits.as_inputs().items()}
        return values | limits


def about(deployment_id: str, settings: Settings, generation: str = "", secrets: str = "") -> str:
    """What the controller knows of the deployment, as the beginning of its line in deployments.jsonl.

    `generation` is the one that a rollback leads to, if any; `secrets` are the names of those that change.
    """
    source = settings.source
    values = {
        "id": deployment_id,
        "by": _who(),
        "controller": socket.gethostname(),
        "flake": source.flake,
        "revision": source.revision,
        "configuration": source.configuration or (f"generation {generation}" if generation else ""),
        "nar_hash": source.nar_hash,
        "dirty": "yes" if source.dirty else "",
        "dirty_revision": source.dirty_revision,
        "specialisation": settings.specialisation,
        "message": settings.message,
        **({"secrets": secrets} if secrets else {}),
    }
    return ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())


def _who() -> str:
    """The operator, who has no name in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid {os.getuid()}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
