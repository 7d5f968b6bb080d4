# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes generations on a host: looks, chooses, has the host do it, and follows that to its end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from .._codes import Refusal, RemovalResult
from .._deployment.wait_while_busy import wait_while_busy
from .._host.answer import Answer, HostError, number
from .._host.connection import Host
from .._status import generations
from .._status.free_space import free_space
from .._status.generations import Generation
from .choice import choose, protected
from .outcome import ended, in_words, outcome

_POLL = 8
"""Seconds for which one poll waits on the host for the end."""


@dataclass(frozen=True, kw_only=True)
class RemovalSettings:
    """What a removal is told."""

    keep: int | None
    keep_days: int | None
    collect_garbage: bool
    boot_timeout: int
    garbage_timeout: int
    lock_timeout: int
    reconnect_timeout: int

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read the options of the module; HostError where they ask for nonsense."""
        for name in ("keep", "keep_days"):
            if (options[name] or 0) < 0:
                raise HostError(
                    f"'{name}' must not be negative, and is {options[name]}; nothing was done", Refusal.BAD_OPTION
                )
        return cls(
            keep=options["keep"],
            keep_days=options["keep_days"],
            collect_garbage=options["collect_garbage"],
            boot_timeout=options["boot_timeout"],
            garbage_timeout=options["garbage_timeout"],
            lock_timeout=options["lock_timeout"],
            reconnect_timeout=options["reconnect_timeout"],
        )

    @property
    def limit(self) -> int:
        """Seconds after which it is over, or something is wrong."""
        garbage = self.garbage_timeout + 120 if self.collect_garbage else 0
        return 4 * self.boot_timeout + 240 + garbage


def remove_generations(host: Host, settings: RemovalSettings, check_mode: bool) -> dict[str, Any]:
    """Look, choose, and have the host do it, which looks again while no deployment can begin; the return values."""
    answer = host.run("info", limit=120, deployments="0", revisions="no")
    if answer.get("root") != "0":
        raise HostError(f"{host.name} needs root for this", Refusal.NOT_ROOT)
    found = generations.read(answer)
    current = number(answer.get("generation"))
    choice = choose(found, protected(answer), current, int(answer.get("now")), settings.keep, settings.keep_days)
    result: dict[str, Any] = {
        "changed": bool(choice.removed),
        "removed": [one.as_value() for one in choice.removed],
        "kept": choice.kept_as_value(),
        "boot_entries_written": False,
        "garbage": None,
        "free_space_before": free_space(answer),
        "free_space": free_space(answer),
    }
    if choice.removed:
        host.tell(choice.in_words(check_mode))
    nothing = not choice.removed and not answer.get("unfinished_removal") and not settings.collect_garbage
    if check_mode or nothing:
        return result
    last = wait_while_busy(host, settings.lock_timeout, lambda: _carry_out(host, settings, choice.removed))
    result |= outcome(host, last, choice.removed)
    if not result.get("failed"):
        host.tell(in_words(result))
    return result


def _carry_out(host: Host, settings: RemovalSettings, removed: Sequence[Generation]) -> Answer:
    """Start it and follow it to its end; HostError with `busy` where something else switches the host."""
    values = {
        "wanted": "\n".join(f"{one.number} {one.system}" for one in removed),
        "boot_limit": str(settings.boot_timeout),
        "collect": "yes" if settings.collect_garbage else "no",
        "garbage_limit": str(settings.garbage_timeout),
    }
    name = secrets.token_hex(8)
    ends = time.monotonic() + settings.limit

    def poll(over: str = "no") -> Answer:
        return host.run(
            "prune",
            limit=_POLL + 120,
            over=over,
            id=name,
            values=values,
            # The boot loader is tried twice, and again where somebody else has moved the boot default.
            runtime_limit=str(4 * settings.boot_timeout + 120),
            patience=str(_POLL),
        )

    patience = settings.reconnect_timeout
    begun = False
    while not (answer := host.persist(patience, poll, "removing old generations", begun=begun)).get("result"):
        begun = True
        if time.monotonic() > ends:
            raise HostError(
                f"{host.name} has not ended the removal of old generations in time; it goes on by itself. Look with"
                " 'systemctl status deploy-flake*'",
                Refusal.TOO_SLOW,
            )
    host.persist(patience, lambda: poll("yes"), "tidying up", begun=True)
    result, by = ended(answer)
    if result is RemovalResult.BUSY:
        raise HostError(f"{host.name} is being switched by {by}", Refusal.BUSY, answer)
    return answer
