# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A deployment on a host as the controller sees it: asked how it does, followed to its end, and told of as a result."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .._codes import FINAL, WELL, Mode, Refusal, ResultState, State, UnitState
from .._host.answer import Answer, HostError, lines, number
from .._host.connection import Host
from .._host.scripts import Input
from . import messages
from .limits import Limits
from .record import read_record

_QUIET = 10
"""Seconds for which a poll keeps to itself what is only progress: a quick deployment is over in one poll."""
_POLL = 2
"""Seconds for which it waits for any news after that."""
_SILENT = 10
"""So many polls may find no final state and neither unit of the deployment, which may be starting or ending."""


class Deployment:
    """One deployment on one host, seen from the controller."""

    def __init__(self, host: Host, deployment_id: str, reconnect_timeout: float, limits: Limits | None = None) -> None:
        self.host = host
        self.addresses: Sequence[str] = ()
        """Where it may answer, tried in turn; none where only Ansible's own way is meant."""
        self.id = deployment_id
        self.reconnect_timeout = reconnect_timeout
        self.state = ""
        """A `State`, once the host has said it; another release may have begun it, and have other words."""
        self.limits = limits
        """None where they are not known."""
        self.decides_by = ""
        """When the host will have finished or undone it by itself at the latest, whatever is lost; "" if not known."""
        self.only_secrets = False
        """Whether nothing else of the host is to change, as far as is known."""
        self.changes: dict[str, Any] = {}
        """Return values about what is different in the new system, where somebody asked for it."""

    def ask(
        self,
        command: str,
        /,
        awaited: Collection[State] = (State.WINDOW,),
        limit: float = 60,
        within: int | None = None,
        **inputs: Input,
    ) -> Answer:
        """Run a command that ends with how the deployment does, and note the state that it says.

        It waits for one of the awaited states or the end, and after a moment for any news. `within` is for a command
        that may change what becomes of the deployment: in how many seconds from then on the host has decided by itself.
        """
        quiet = self.host.quiet(_QUIET)
        patience = quiet + _POLL
        inputs |= {"known": self.state, "awaited": " ".join(awaited), "patience": str(patience), "quiet": str(quiet)}
        before = self.host.undecided
        sent = 0

        def send() -> Answer:
            nonlocal sent
            sent += 1
            # Whatever is lost from here on, the host may have got it.
            if within is not None:
                self.decides_by = _in(within)
            self.host.undecided = self._undecided()
            return self.host.run(command, limit=patience + limit, data=b"", id=self.id, **inputs)

        try:
            answer = self.host.persist(
                self.reconnect_timeout,
                send,
                f"following deployment {self.id} ({self.state or 'not heard of yet'})",
                self.addresses,
            )
        except HostError as error:
            # A no is no proof that what was sent before, and lost, has done nothing.
            if error.answer is not None and sent == 1:
                self.host.undecided = before
            raise
        if answer.get("unchanged"):
            # None was begun.
            self.decides_by, self.host.undecided = "", before
            return answer
        # The directory of a deployment that has ended may be gone between two looks at it; its line is not.
        record = read_record(answer.get("record"))
        state = str(record.get("outcome") or answer.get("state"))
        if state and state != self.state:
            self.state = state
            self.only_secrets = self.only_secrets or messages.is_of_secrets(record)
            said = messages.progress(state, answer.get("mode"), record, self.host.kind, only_secrets=self.only_secrets)
            self.host.tell(said)
        if self.limits is not None and self.state == State.WINDOW and (left := answer.get("window_left")):
            self.decides_by = _in(int(left) + self.limits.undo)
        if self.state in FINAL:
            self.decides_by = ""
        self.host.undecided = {} if self.state in FINAL else self._undecided()
        return answer

    def follow(
        self,
        answer: Answer,
        until: Callable[[str], bool] = lambda _state: False,
        command: str = "poll",
        awaited: Collection[State] = (State.WINDOW,),
        limit: float = 60,
        within: int | None = None,
        **inputs: Input,
    ) -> Answer:
        """Poll with a command until the state is one that is waited for, or final."""
        silent = 0
        while not (self.state in FINAL or until(self.state)):
            if self.state == State.UNKNOWN:
                self._nobody_decides()
                raise HostError(
                    f"{self.host.name} knows nothing of deployment {self.id} any more: it was restarted or lost"
                    " power in the middle. It boots its previous system unless the deployment was confirmed;"
                    " deploy again, which repairs what is left",
                    Refusal.UNKNOWN_DEPLOYMENT,
                )
            # Neither unit is there, and still no final state.
            silent = silent + 1 if answer.get("holder") in (UnitState.INACTIVE, UnitState.FAILED) else 0
            if silent > _SILENT:
                self._nobody_decides()
                raise HostError(
                    f"deployment {self.id} on {self.host.name} is {self.state}, and neither of its units runs any"
                    " more; deploy again, which repairs it first",
                    Refusal.ABANDONED,
                )
            answer = self.ask(command, awaited=awaited, limit=limit, within=within, **inputs)
        return answer

    def _undecided(self) -> dict[str, Any]:
        """The return values of a task that breaks off now."""
        by = {"decides_by": self.decides_by} if self.decides_by else {}
        return {"deployment": self.id, "state": State.UNKNOWN, **by}

    def _nobody_decides(self) -> None:
        """No unit of it runs any more, so it ends when somebody deploys again."""
        self.decides_by = ""
        self.host.undecided = self._undecided()


def _in(seconds: int) -> str:
    """That many seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def new_id() -> str:
    """A name for a deployment: when, and something that nobody else has."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def unchanged(before: Answer) -> dict[str, Any]:
    """The return values where a host runs and boots the system already."""
    why = before.get("loader_why")
    return {
        "changed": False,
        "deployment": "",
        "state": ResultState.UNCHANGED,
        "generation": number(before.get("generation")),
        "boot_loader": before.get("loader"),
        "boot_loader_default": before.get("loader_default"),
        "notes": [messages.loader_unknown(why)] if why else [],
    }


def result_of(host: Host, deployment: Deployment, answer: Answer) -> dict[str, Any]:
    """The return values of a deployment, from the host's last answer; failed unless it waits or has ended well."""
    record = read_record(answer.get("record"))
    result: dict[str, Any] = {
        "deployment": deployment.id,
        "state": deployment.state,
        "changed": deployment.state != State.REFUSED,
    }
    if record:
        result |= {
            "previous_system": record.get("from", ""),
            "previous_boot_default": record.get("from_boot", ""),
            "system": record.get("live", ""),
            "boot_default": record.get("boot", ""),
            "generation": number(record.get("generation", "")),
            # Records of earlier releases have neither.
            "boot_loader": record.get("loader", ""),
            "boot_loader_default": record.get("loader_default", ""),
            "notes": lines(record.get("notes", "")),
            "failed_units": lines(record.get("failed_units", "")),
        }
    if deployment.state in FINAL and deployment.state not in WELL:
        # A system that somebody else put there is not ours to speak of as changed.
        result["changed"] = deployment.state in (State.ROLLBACK_FAILED, State.COMMIT_FAILED)
        result |= {
            "failed": True,
            "msg": messages.failure(host.name, deployment.id, deployment.state, record, host.kind),
        }
        # Records of earlier releases have none.
        if why_code := record.get("why_code"):
            result["reason"] = why_code
    if record:
        result["reboot_required"] = record.get("reboot_required") == "yes"
    elif deployment.state == State.WINDOW:
        result["reboot_required"] = answer.get("mode") == Mode.BOOT
    for note in result.get("notes", []):
        host.warn(note)
    return result
