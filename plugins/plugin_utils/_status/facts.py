# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the command `info` answers about systems and about what is in progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._codes import State, UnitState
from .._host.answer import Answer
from .generations import Generation, specialisation_of

_RUNS = (UnitState.ACTIVE, UnitState.ACTIVATING, UnitState.DEACTIVATING)


@dataclass(frozen=True)
class OpenDeployment:
    """A deployment that has not ended."""

    deployment: str
    state: State
    in_progress: bool
    """Whether its supervisor runs."""

    @classmethod
    def read(cls, answer: Answer) -> OpenDeployment | None:
        """Read an answer. Without root only one that is in progress can be seen, and not where it stands."""
        in_progress = answer.get("open_unit") in _RUNS
        if name := answer.get("open"):
            return cls(name, _state(answer.get("open_state") or State.INTERRUPTED), in_progress)
        if in_progress and (name := answer.get("open_id")):
            return cls(name, State.UNKNOWN, True)
        return None

    def as_value(self) -> dict[str, Any]:
        """As the module returns it."""
        return {"deployment": self.deployment, "state": str(self.state), "in_progress": self.in_progress}


@dataclass(frozen=True)
class Trial:
    """A system that was booted once and was not kept, or is being tried."""

    toplevel: str
    in_progress: bool
    outcome: str
    """A sentence; "" while it is in progress."""

    @classmethod
    def read(cls, answer: Answer) -> Trial | None:
        """Read an answer."""
        if not (toplevel := answer.get("trial")):
            return None
        return cls(toplevel, answer.get("trial_in_progress") == "yes", answer.get("trial_outcome"))

    def as_value(self) -> dict[str, Any]:
        """As the module returns it."""
        return {"toplevel": self.toplevel, "in_progress": self.in_progress, "outcome": self.outcome}


@dataclass(frozen=True)
class Facts:
    """What runs and what boots; "" for what is not known."""

    current: str
    booted: str
    boot_default: str
    loader: str = ""
    """What the boot loader starts by itself."""
    loader_why: str = ""
    """Why that cannot be told, or is not the boot default."""
    loader_disagrees: bool = False
    """Whether it certainly is not the boot default."""
    specialisation: str = ""
    """The name of the specialisation that runs."""
    parent: str = ""
    """The system of which the running one is a specialisation."""
    loader_parent: str = ""
    live_committed: bool = False
    """Whether the records say that what runs was confirmed; asked only where something else would boot."""
    until_reboot: bool = False
    """Whether they say that it was, to run until the next reboot."""
    open_deployment: OpenDeployment | None = None
    last_deployment: Mapping[str, Any] = field(default_factory=dict)
    """Its line in deployments.jsonl."""
    trial: Trial | None = None
    unfinished_removal: bool = False
    complete: bool = False
    """Whether root has looked."""

    @classmethod
    def read(cls, answer: Answer, generations: Sequence[Generation], deployments: Sequence[Mapping[str, Any]]) -> Facts:
        """Read an answer; the last of the deployments is the youngest."""
        current, default, loader = (answer.get(name) for name in ("current", "boot_default", "loader_default"))
        specialisation, parent = specialisation_of(current, generations, default)
        return cls(
            current=current,
            booted=answer.get("booted"),
            boot_default=default,
            loader=loader,
            loader_why=answer.get("loader_why"),
            loader_disagrees=bool(answer.get("loader_disagrees")),
            specialisation=specialisation,
            parent=parent,
            loader_parent=specialisation_of(loader, generations, default)[1],
            live_committed=answer.get("live_kept") == State.COMMITTED,
            until_reboot=answer.get("live_kept") == State.UNTIL_REBOOT,
            open_deployment=OpenDeployment.read(answer),
            # One of secrets alone has left the systems as they were.
            last_deployment=next((one for one in reversed(deployments) if one.get("only_secrets") != "yes"), {}),
            trial=Trial.read(answer),
            unfinished_removal=bool(answer.get("unfinished_removal")),
            complete=answer.get("root") == "0",
        )

    @property
    def runs_boot_default(self) -> bool:
        """Whether what runs is the boot default, or one of its specialisations."""
        return self.boot_default in (self.current, self.parent)

    @property
    def runs_trial(self) -> bool:
        """Whether what runs was booted once."""
        return self.trial is not None and self.trial.toplevel == self.current

    @property
    def is_confirmed(self) -> bool:
        """Whether what runs is no mere test: it was booted, or a deployment has committed it."""
        return self.current == self.booted or self.live_committed

    @property
    def boot_default_waits(self) -> bool:
        """Whether the boot default waits for a reboot: it does not run, and is not what a test is measured against."""
        waits = bool(self.boot_default) and not self.runs_boot_default
        stays = self.runs_trial or self.until_reboot
        return waits and not stays and (self.is_confirmed or self.boot_default != self.booted)


def _state(text: str) -> State:
    return State(text) if text in list(State) else State.UNKNOWN
