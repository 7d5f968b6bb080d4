# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Boots a system once, and makes it the boot default if it came up well."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .._codes import Mode, Refusal, ResultState, State, TrialStep
from .._host import reboot
from .._host.answer import Answer, HostError, HostLostError
from .._host.connection import Host
from .context import Context
from .deployment import new_id, result_of
from .settings import RebootSettings
from .start import preflight, start
from .way_in import refuse_unproven_way_in

_GRACE = 20
"""Seconds that a system which rolls back by itself has after the limit, for the commit to begin."""

_BOOTS = 120
"""Seconds, at least, until the new system's own time begins, and for the boot default to come up after that."""


class TrialError(HostError):
    """The system was to be booted once and is not kept; `result` says how the host is now."""

    def __init__(self, message: str, reason: str, result: Mapping[str, Any]) -> None:
        super().__init__(message, reason)
        self.result = result


class Trial:
    """One boot of one system that is not the boot default."""

    def __init__(self, host: Host, settings: RebootSettings, before: Answer) -> None:
        self.host = host
        self.settings = settings
        self.before = before
        self.id = new_id()
        self.new = settings.toplevel
        self.old = before.get("boot_default")
        self.notes: list[str] = []
        self._limit = settings.limits.reboot
        self._addresses = host.addresses(settings.confirm_hosts)

    def run(self, check_mode: bool) -> dict[str, Any]:
        """From the preparation to the boot default."""
        refuse_unproven_way_in(self.host, self.settings.allow)
        if self.old == self.new:
            if self.before.get("booted") == self.new:
                return {"state": ResultState.UNCHANGED}
            raise HostError(
                f"{self.host.name} boots {self.new} by default already, so there is no other system that it could roll"
                " back to; reboot it without 'trial'",
                Refusal.IS_DEFAULT,
            )
        # What is refused of any deployment, before anything is changed.
        preflight(self.host, self.settings.for_commit())
        # It came up before, and whoever waited for it is gone.
        came_up = self.before.get("booted") == self.before.get("current") == self.new
        if check_mode:
            if came_up:
                self.host.tell(f"would check {self.new}, which it has booted once, and make it the boot default")
            else:
                self._ask(TrialStep.LOOK)
                self.host.tell(
                    f"would boot {self.new} once, and keep it if it comes up well; boots {self.old} otherwise"
                )
            return {"state": ResultState.WOULD_TRY, "changed": True}
        if came_up:
            self._note(f"{self.new} has been booted already, so it is not booted again")
            up, _said = reboot.wait_until_up(
                self.host, "none", self._limit, self._addresses, settle=self.settings.limits.watched
            )
            return self._keep(up or self.before) | {"notes": self.notes}
        prepared = self._ask(TrialStep.PREPARE)
        if earlier := prepared.get("earlier"):
            self._note(f"an earlier trial: {earlier}")
        self.host.tell(
            f"boots {self.new} once, as generation {prepared.get('generation')}; its boot default stays {self.old}"
        )
        told = time.monotonic()
        answer = self._boot(prepared)
        elapsed = round(time.monotonic() - told, 1)
        return self._keep(answer) | {"rebooted": True, "elapsed": elapsed, "notes": self.notes}

    def _boot(self, prepared: Answer) -> Answer:
        began = time.monotonic()
        try:
            answer = reboot.reboot_and_wait(
                self.host,
                self.before,
                self.new,
                self._limit,
                self._addresses,
                trying=self.new,
                settle=self.settings.limits.watched,
            )
        except reboot.NotBackError as error:
            answer = self._wait_for_return(prepared, began, error)
        except HostError as error:
            # It could not begin to reboot.
            self._end(TrialStep.FAILED, str(error))
            raise
        if answer.get("booted") != self.new:
            why = (
                f"{self.host.name} was told to boot {self.new} once, and has booted {answer.get('booted')}: the new"
                " system did not come up, or somebody has switched the host off and on"
            )
            raise self._failed(why, Refusal.OTHER_SYSTEM, answer)
        return answer

    def _wait_for_return(self, prepared: Answer, began: float, error: reboot.NotBackError) -> Answer:
        """The system can't be reached: if it has the unit for that, it rolls back by itself."""
        rolls_back = prepared.get("returns") == "yes"
        if rolls_back:
            # Its own time begins when it has come up; a reboot of a server may be minutes of its firmware alone.
            left = self._host_limit + max(_BOOTS, self._limit) - (time.monotonic() - began)
            self.host.tell(f"has not come back; if the new system came up it reboots by itself, so waits {left:.0f} s")
            answer, _said = reboot.wait_until_up(self.host, self.before.get("boot_id"), left, self._addresses)
            if answer:
                return answer
        raise TrialError(
            f"{self.host.name} was told to boot {self.new} once, and has not come back within {self._limit} s"
            f"{', nor has it rolled back by itself' if rolls_back else ''}; a power cycle boots {self.old}"
            f" ({error.said})",
            Refusal.NOT_BACK,
            {"state": ResultState.UNKNOWN, "changed": True, "notes": self.notes},
        ) from error

    def _keep(self, answer: Answer) -> dict[str, Any]:
        """The system runs. If it is well it becomes the boot default, by a deployment that has nothing to activate."""
        settings = self.settings
        try:
            reboot.require_up(self.host, answer, self._limit)
            # What had failed before is no excuse where it was this system already.
            known = self.before if self.before.get("booted") != self.new else Answer()
            reboot.require_health(self.host, answer, settings.health_policy, settings.ignore_units, known)
        except HostError as error:
            raise self._revert(str(error), error.reason, answer) from error
        self.host.tell("has booted the new system, and no unit has failed; makes it the boot default")
        self.host.use_fresh_connections()
        try:
            started = start(self.host, settings.for_commit(), Mode.BOOT, Context())
            begun = started.deployment
            if begun is None:
                raise HostError(f"{self.host.name} boots {self.new} by default already", Refusal.IS_DEFAULT)
            said = begun.follow(started.answer)
        except HostLostError:
            raise
        except HostError as error:
            why = f"the new system came up well, and could not be kept: {error}"
            raise self._revert(why, error.reason, answer) from error
        result = result_of(self.host, begun, said)
        if begun.state != State.COMMITTED:
            why = f"the new system came up well, and could not be made the boot default. {result['msg']}"
            reason = result.get("reason", begun.state)
            if begun.state == State.COMMIT_FAILED:
                # What the host would boot is not known, so it stays up.
                raise TrialError(why, reason, {"state": ResultState.UNCONFIRMED, "changed": True, "notes": self.notes})
            raise self._revert(why, reason, answer)
        self._end(TrialStep.END)
        self.notes += result.pop("notes", [])
        kept = ("deployment", "generation", "boot_default", "system", "state")
        return {
            "changed": True,
            "booted_system": answer.get("booted"),
            "failed_units": reboot.facts(answer)["failed_units"],
            **{name: result[name] for name in kept if name in result},
        }

    def _revert(self, why: str, reason: str, answer: Answer) -> TrialError:
        """The system that was tried is not kept: the host boots its boot default again, if it may."""
        if not self.settings.revert:
            self._end(TrialStep.FAILED, why)
            why = f"{why}\n{self.host.name} runs it, and boots {self.old} next time ('revert' is off)."
            return TrialError(why, reason, {"state": ResultState.UNCONFIRMED, "changed": True, "notes": self.notes})
        self.host.tell("does not keep the new system; reboots into its boot default")
        # Should the boot loader not have forgotten its choice.
        self._end(TrialStep.UNCHOOSE)
        try:
            back = reboot.reboot_and_wait(self.host, answer, self.old, self._limit, self._addresses)
            reboot.require_up(self.host, back, self._limit)
            reboot.require_system(self.host, back, self.old)
        except HostError as error:
            why = f"{why}\nIt was told to reboot into {self.old}, and {error}."
            return TrialError(why, reason, {"state": ResultState.UNKNOWN, "changed": True, "notes": self.notes})
        return self._failed(why, reason, back)

    def _failed(self, why: str, reason: str, answer: Answer) -> TrialError:
        """The host has booted its boot default again: nothing is left of the trial but why it failed."""
        if said := self._end(TrialStep.FAILED, why.splitlines()[0]):
            why = f"{why}\nThe new system says that {said}."
        text = f"{why}\n{self.host.name} runs {answer.get('current')}, and its boot default is {self.old}, as before."
        result = {"state": ResultState.REVERTED, "changed": True, "notes": self.notes, **reboot.facts(answer)}
        return TrialError(text, reason, result)

    @property
    def _host_limit(self) -> int:
        return self._limit + _GRACE

    def _ask(self, step: TrialStep, why: str = "") -> Answer:
        settings = self.settings
        commit = settings.limits.commit
        # Three runs of switch-to-configuration, and what waits for the disks.
        limit = 6 * commit + 120
        values = {
            "id": self.id,
            "new": self.new,
            "commit_limit": str(commit),
            # While the preparation, and what makes the system the boot default, may take so long nobody else begins.
            "prepare_limit": str(limit),
            "keep_limit": str(3 * commit + 60),
            "host_limit": str(self._host_limit),
            "pre_activate_script": settings.pre_activate_script,
            "why": why,
        }
        begins = step in (TrialStep.LOOK, TrialStep.PREPARE)
        return self.host.persist(
            settings.reconnect_timeout,
            lambda: self.host.run(
                "trial",
                limit=limit + 60,
                id=self.id,
                step=step,
                new=self.new,
                time_limit=str(limit),
                settings=values,
            ),
            "preparing a boot of the new system" if begins else "ending the trial",
        )

    def _end(self, step: TrialStep, why: str = "") -> str:
        """Tidy up; what does not work out is a note, and the next deployment or trial does it. What the host knows."""
        try:
            answer = self._ask(step, why)
        except HostError as error:
            self._note(f"what is left of the trial could not be removed: {error}")
            return ""
        if entries := answer.get("entries"):
            self._note(entries)
        return answer.get("why")

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.host.warn(text)
