# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a copy of a closure is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from .._codes import Refusal
from .._flake.store_path import is_store_path
from .._host.answer import HostError

ALLOWS_LITTLE_SPACE = "little_space"


@dataclass(frozen=True, kw_only=True)
class ClosureOptions:
    """How a closure is copied, whatever it is."""

    substitute: bool = False
    compress: bool = True
    fetch_timeout: int = 7200
    """Seconds that a target's own substituters may take."""
    sign_key: str = ""
    """A file on the source to sign all of it with; "" for none."""
    check_signatures: bool = False

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read the options of a module."""
        return cls(
            substitute=options["substitute"],
            compress=options["compress"],
            fetch_timeout=options["fetch_timeout"],
            sign_key=options["sign_key"] or "",
            check_signatures=options["check_signatures"],
        )


@dataclass(frozen=True, kw_only=True)
class ClosureSettings:
    """From where to where, what, and how."""

    source: str
    wanted: Mapping[str, tuple[str, ...]]
    """The store paths that each target gets, with all that they need."""
    how: ClosureOptions
    copy_timeout: int
    """Seconds for one piece."""
    reconnect_timeout: int
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """HostError where something else than a store path is asked for, whoever has named it."""
        _refuse_others(path for paths in self.wanted.values() for path in paths)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], task_host: str) -> Self:
        """Read the options of the module; HostError where they ask for nonsense."""
        paths, paths_of = list(options["paths"]), dict(options["paths_of"])
        source = options["source"] or task_host
        targets = options["targets"] or list(paths_of) or [task_host]
        wanted: dict[str, tuple[str, ...]] = {}
        for target in dict.fromkeys([*targets, *paths_of]):
            of_its_own = paths_of.get(target, [])
            its = [*paths, *([of_its_own] if isinstance(of_its_own, str) else of_its_own)]
            # What the source has it need not get.
            if its and target != source:
                wanted[target] = tuple(dict.fromkeys(map(str, its)))
        if not paths and not any(paths_of.values()):
            raise HostError(
                "nothing is to be copied: give the store paths as 'paths' or 'paths_of'", Refusal.BAD_OPTION
            )
        return cls(
            source=source,
            wanted=wanted,
            how=ClosureOptions.from_options(options),
            copy_timeout=options["copy_timeout"],
            reconnect_timeout=options["reconnect_timeout"],
            allow=tuple(options["allow"]),
        )

    @property
    def idle_limit(self) -> int:
        """Seconds after which either end takes the controller for lost. Others may have to be waited for first."""
        fetching = self.how.fetch_timeout if self.how.substitute else 0
        return self.copy_timeout + self.reconnect_timeout + fetching + 120


def _refuse_others(paths: Iterable[str]) -> None:
    for path in paths:
        if not is_store_path(path):
            raise HostError(f"{path!r} is not a store path; nothing was copied", Refusal.NOT_A_STORE_PATH)
