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

    @classmethod
    def from_options(cls, options: Mapping[str, Any], task_host: str) -> Self:
        """Read the options of the module; HostError where they ask for nonsense."""
        paths, paths_of = list(options["paths"]), _paths_of(options["paths_of"])
        source = options["source"] or task_host
        targets = options["targets"]
        # An empty list is one that came out empty, and means nobody.
        targets = (list(paths_of) or [task_host]) if targets is None else targets
        wanted: dict[str, tuple[str, ...]] = {}
        for target in dict.fromkeys([*targets, *paths_of]):
            its = [*paths, *paths_of.get(target, [])]
            # What the source has it need not get.
            if its and target != source:
                wanted[target] = tuple(dict.fromkeys(map(str, its)))
        if not paths and not any(paths_of.values()):
            raise HostError(
                "nothing is to be copied: give the store paths as 'paths' or 'paths_of'", Refusal.BAD_OPTION
            )
        _refuse_others([*paths, *(path for its in paths_of.values() for path in its)])
        if not wanted and options["source"] is None and options["targets"] is None:
            raise HostError(
                f"nothing is to be copied: {task_host} is source and target; give the host that has the paths as"
                " 'source', or those that get them as 'targets'",
                Refusal.BAD_OPTION,
            )
        return cls(
            source=source,
            wanted=wanted,
            how=ClosureOptions.from_options(options),
            copy_timeout=options["copy_timeout"],
            reconnect_timeout=options["reconnect_timeout"],
            allow=tuple(options["allow"]),
        )

    def __post_init__(self) -> None:
        """HostError for what is no store path, wherever it comes from: on the hosts these are words of commands."""
        _refuse_others(path for paths in self.wanted.values() for path in paths)

    @property
    def idle_limit(self) -> int:
        """Seconds after which either end takes the controller for lost. Others may have to be waited for first."""
        fetching = self.how.fetch_timeout if self.how.substitute else 0
        return self.copy_timeout + self.reconnect_timeout + fetching + 120


def _paths_of(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Of each host a list; HostError where it is none, nor one path."""
    found = {name: [its] if isinstance(its, str) else its for name, its in given.items()}
    for name, its in found.items():
        if not isinstance(its, list | tuple):
            raise HostError(
                f"'paths_of' has for {name} neither a store path nor a list of them; nothing was copied",
                Refusal.BAD_OPTION,
            )
    return {name: list(its) for name, its in found.items()}


def _refuse_others(paths: Iterable[str]) -> None:
    for path in paths:
        if not isinstance(path, str) or not is_store_path(path):
            raise HostError(f"{path!r} is not a store path; nothing was copied", Refusal.NOT_A_STORE_PATH)
