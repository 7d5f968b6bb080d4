# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reboots a host and waits for it, over connections that need nothing but a shell."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ansible.errors import AnsibleError

from .._codes import HealthPolicy, MayReboot, Refusal
from .answer import Answer, HostError
from .connection import Host, no_answer

_UP = ("running", "degraded")
_POLL = 20
"""Seconds for which one look waits on the host until it has finished starting."""


class NotBackError(HostError):
    """The host was told to reboot, and cannot be reached; `said` is what the last attempt came to."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(f"{message} (last: {said})", Refusal.NOT_BACK)
        self.said = said


def look(host: Host, patience: float, toplevel: str = "") -> Answer:
    """How the host is now; tries again for `patience` seconds where the connection fails."""
    return host.persist(patience, lambda: _ask(host, toplevel=toplevel, trying=toplevel), "about to reboot")


def reboot_after_commit(host: Host, expected: str, limit: float) -> None:
    """Reboot into the boot default and make sure that it is the expected system; HostError after `limit` seconds."""
    before = look(host, limit)
    answer = reboot_and_wait(host, before, expected, limit, may_reboot=MayReboot.AFTER_COMMIT)
    require_up(host, answer, limit)
    require_system(host, answer, expected)
    host.tell("has rebooted into the new system")


def reboot_and_wait(
    host: Host,
    before: Answer,
    expected: str,
    limit: float,
    addresses: Sequence[str] = (),
    may_reboot: MayReboot = MayReboot.YES,
    trying: str = "",
    settle: int = 0,
) -> Answer:
    """Reboot, and wait until the host is up with another boot id; the last look, which may say that it isn't.

    NotBackError when no look came through within `limit` seconds. `addresses` are tried in turn, where there are any.
    For `settle` seconds its services are watched then.
    """
    boot_id = before.get("boot_id")
    host.tell("reboots")
    ends = time.monotonic() + limit
    try:
        _ask(host, boot_id=boot_id, may_reboot=may_reboot, trying=trying)
    except (AnsibleError, HostError) as error:
        # The reboot may end the script before it has answered.
        if not no_answer(error):
            raise
        host.tell_more(f"the connection ended with the reboot: {error}")
    else:
        may_reboot = MayReboot.NO
    # It may have ended before the host was told: then each look tells it once more, until it reboots.
    answer, said = wait_until_up(host, boot_id, ends - time.monotonic(), addresses, may_reboot, trying, settle)
    if answer is None:
        raise NotBackError(
            f"{host.name} was told to reboot into {expected} and has not come back within {limit:.0f} s;"
            f" look at its console; a power cycle boots {before.get('boot_default') or 'nothing'}",
            said,
        )
    return answer


def wait_until_up(
    host: Host,
    boot_id: str,
    limit: float,
    addresses: Sequence[str] = (),
    may_reboot: MayReboot = MayReboot.NO,
    trying: str = "",
    settle: int = 0,
    gives_up_soon: bool = True,
) -> tuple[Answer | None, str]:
    """Wait until the host answers from another boot and has finished starting; watch its services for `settle` seconds.

    Unless it `gives_up_soon`, each attempt to connect takes as long as the operator lets it. The last look at that
    boot, if there was one, and what the last attempt came to.
    """
    ends = time.monotonic() + limit
    in_turn = itertools.cycle(addresses)
    seen: Answer | None = None
    said = "it was never asked"
    pause = 0.1
    if gives_up_soon:
        host.give_up_soon()
    while True:
        left = ends - time.monotonic()
        if left <= 0:
            return seen, said
        host.reset()
        try:
            answer = _ask(
                host, boot_id=boot_id, may_reboot=may_reboot, trying=trying, patience=min(left, _POLL), settle=settle
            )
        except (AnsibleError, HostError) as error:
            # While it shuts down or starts, what a login or sudo says may be no answer.
            said = str(error)
            host.tell_more(f"not up yet: {said}")
            if addresses:
                host.connect_to(next(in_turn))
        else:
            said = f"it answers, and is {answer.get('manager')}"
            if answer.get("boot_id") != boot_id:
                seen = answer
                if answer.get("manager") in _UP:
                    return answer, ""
        time.sleep(max(min(pause, ends - time.monotonic()), 0))
        pause = min(pause * 1.3, 1)


def require_up(host: Host, answer: Answer, limit: float) -> None:
    """HostError unless the host has finished starting."""
    if answer.get("manager") not in _UP:
        raise HostError(
            f"{host.name} has rebooted into {answer.get('booted')}, and has not finished starting after {limit:.0f} s:"
            f" systemctl is-system-running says {answer.get('manager') or 'nothing'};"
            f" still starting: {answer.get('jobs').strip() or 'none'}",
            Refusal.NOT_UP,
            answer,
        )


def require_system(host: Host, answer: Answer, expected: str) -> None:
    """HostError unless the host has booted the system that was meant."""
    if answer.get("booted") != expected:
        raise HostError(
            f"{host.name} has rebooted, but into {answer.get('booted')} and not {expected}",
            Refusal.OTHER_SYSTEM,
            answer,
        )


def require_health(host: Host, answer: Answer, policy: HealthPolicy, ignored: Collection[str], before: Answer) -> None:
    """HostError where units have failed that the policy does not let pass."""
    if units := failed_units(answer, policy, ignored, before):
        journal = "".join(f"\n  {line}" for line in answer.get("journal").splitlines()[-20:])
        raise HostError(
            f"{host.name} has booted {answer.get('booted')}, and {_what_fails(answer, units)}{journal}",
            Refusal.UNHEALTHY,
            answer,
        )


def failed_units(answer: Answer, policy: HealthPolicy, ignored: Collection[str], before: Answer) -> list[str]:
    """The units that count: those that have failed, and services that are started again and again."""
    lenient = policy == HealthPolicy.NO_NEW_FAILURES
    restarted = dict(_named(each) for each in before.all("restarted_unit"))
    known = [*before.all("failed_unit"), *(unit for unit, how in restarted.items() if how == "failing")]
    units = [unit for unit in answer.all("failed_unit") if not (lenient and unit in known)]
    for unit, how in map(_named, answer.all("loop_unit")):
        # One that ends well, to be started again after a while, is meant so, if it was the same before.
        if not (unit in restarted and (lenient or (how != "failing" and restarted[unit] != "failing"))):
            units.append(unit)
    return [unit for unit in units if not any(fnmatchcase(unit, pattern) for pattern in ignored)]


def _what_fails(answer: Answer, units: Sequence[str]) -> str:
    failed = [unit for unit in units if unit in answer.all("failed_unit")]
    again = [unit for unit in units if unit not in failed]
    parts = [f"units have failed: {' '.join(failed)}"] if failed else []
    parts += [f"services end and are started again and again: {' '.join(again)}"] if again else []
    return ", and ".join(parts)


def _named(text: str) -> tuple[str, str]:
    """A service, and how it is started again, as restarts.sh says it."""
    unit, _space, how = text.partition(" ")
    return unit, how


def facts(answer: Answer) -> Mapping[str, Any]:
    """A look, as return values."""
    return {
        "booted_system": answer.get("booted"),
        "system": answer.get("current"),
        "boot_default": answer.get("boot_default"),
        "failed_units": [
            *answer.all("failed_unit"),
            *(unit for unit, how in map(_named, answer.all("loop_unit")) if how != "recurring"),
        ],
    }


def _ask(
    host: Host,
    boot_id: str = "",
    may_reboot: MayReboot = MayReboot.NO,
    toplevel: str = "",
    trying: str = "",
    patience: float = _POLL,
    settle: int = 0,
) -> Answer:
    return host.run(
        "reboot",
        limit=patience + settle + 30,
        boot_id=boot_id,
        may_reboot=may_reboot,
        toplevel=toplevel,
        trying=trying,
        patience=f"{max(patience, 1):.0f}",
        settle=str(settle),
    )
