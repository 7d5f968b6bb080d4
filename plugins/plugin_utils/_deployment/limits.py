# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long each phase of a deployment may take, and what follows from that for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from .._codes import Refusal
from .._host.answer import HostError

_CONFIRM = 120
"""Seconds to wait for confirmation, where nobody says otherwise."""
_SETTLE = 3
"""Seconds that units are watched at most, where nobody says for how long."""
_UNITS = 120
"""Seconds for the units that read secrets, all at once."""


@dataclass(frozen=True)
class Limits:
    """The option `limits`, in seconds."""

    health: int
    check: int
    activate: int
    settle: int | None
    confirm: int | None
    commit: int
    rollback: int
    reboot: int
    brings_secrets: bool = False
    """Whether a deployment may bring secrets, which take their own time."""
    runs_hook: bool = False
    """Whether a program is run after the activation, which has the limit of a check."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """The limits of a task, from its validated options."""
        given = options["limits"]
        return cls(
            **{field.name: given[field.name] for field in fields(cls) if field.name in given},
            brings_secrets=bool(options.get("secrets") or options.get("remove_other_secrets")),
            runs_hook=bool(options.get("post_activate_script")),
        )

    def for_deployment(self, batches: int) -> Self:
        """The same with a time to wait for confirmation; HostError where one of them cannot be meant.

        `batches` is in how many batches of forks a fleet is tested that commits everywhere or nowhere, else 0.
        """
        needed = self._needed(batches)
        if batches and self.confirm is not None and self.confirm < needed:
            raise HostError(
                f"the limit 'confirm' is {self.confirm} s, and a fleet that commits everywhere or nowhere needs"
                f" {needed} s ({batches} batches of forks); raise it, use more forks, or leave it out",
                Refusal.BAD_LIMIT,
            )
        limits = self.with_time_to_confirm(batches)
        for name, value in limits.as_inputs().items():
            if value < 0 or (value == 0 and name != "settle"):
                raise HostError(
                    f"the limit '{name}' must be a positive number of seconds, and is {value}", Refusal.BAD_LIMIT
                )
        return limits

    def with_time_to_confirm(self, batches: int) -> Self:
        """The same with a time to wait for confirmation, as `for_deployment` has it, of one that has begun already."""
        return self if self.confirm is not None else replace(self, confirm=self._needed(batches))

    def _needed(self, batches: int) -> int:
        # The first host waits while every batch of forks tests, the slowest host included.
        return batches * (self.health + self.check + self.activate + self._for_hook + self.watched) + _CONFIRM

    def as_inputs(self) -> dict[str, int]:
        """Those that are known, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.type != "bool"}
        known = {name: value for name, value in values.items() if value is not None}
        return known | {"settle": self.watched, "secrets": self.secrets}

    @property
    def watched(self) -> int:
        """How long units are watched; at most, where that is not given."""
        return _SETTLE if self.settle is None else self.settle

    @property
    def secrets(self) -> int:
        """Each step with the files of secrets: to make them, replace them, put them back or tidy up, and to sync."""
        return 60 + self.commit

    @property
    def _for_hook(self) -> int:
        return self.check if self.runs_hook else 0

    def _for_secrets(self, steps: int) -> int:
        return steps * self.secrets + _UNITS if self.brings_secrets else 0

    @property
    def whole_run(self) -> int:
        """All phases of the supervisor, commit included; looking at ssh and the like takes its share."""
        # The window may be extended once. Secrets are made, put in place (again, where a switch asks for a reboot),
        # looked at three times, and kept.
        twice = 2 * (self.check + (self.confirm or 0))
        tried = self.health + self.activate + self._for_hook + self.watched
        return tried + twice + 4 * self.commit + 240 + self._for_secrets(7)

    @property
    def undo(self) -> int:
        """The undo: three ways back, for which the host keeps a time of its own (`begin_ways`), boot, secrets."""
        return 3 * self.rollback + 3 * self.commit + 240 + self._for_secrets(3)

    @property
    def unconfirmed(self) -> int:
        """From the start to the end of a system that is tested and that nobody confirms."""
        tried = self.health + self.check + self.activate + self._for_hook + self.watched
        return tried + (self.confirm or 0) + 240 + self._for_secrets(4) + self.undo

    @property
    def prepared(self) -> int:
        """From when the window may have been extended to the end of a system that nobody confirms."""
        return 2 * (self.confirm or 0) + self.undo

    @property
    def confirmed(self) -> int:
        """From when somebody may have confirmed to the end, whichever that is."""
        return 2 * (self.confirm or 0) + 4 * self.commit + 240 + self._for_secrets(4) + self.undo

    @property
    def check_mode(self) -> int:
        """What check mode may take: its steps, each once, and something to spare."""
        return self.health + self.check + self.activate + 60
