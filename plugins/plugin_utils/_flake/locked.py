# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A remote flake that was resolved: which version of it all hosts of a run get."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .local import LocalFlake, RemoteFlake
from .reference import FlakeError, add_parameters, split_query
from .snapshot import Snapshot
from .store_path import is_store_path
from .unlocked import Unlocked

_WITHOUT_HASH = ("git", "hg")
"""Kinds whose URL can't hold a narHash; their revision says as much."""


@dataclass(frozen=True)
class LockedFlake:
    """A remote flake at one version."""

    reference: str
    """As it was given."""
    url: str
    """The same, locked."""
    nar_hash: str
    directory: str = ""
    revision: str | None = None
    last_modified: int = 0
    revision_count: int | None = None

    def locked_reference(self, snapshot: Snapshot) -> str:
        """Name its snapshot in a host's store, as that of a flake on the controller is named."""
        return LocalFlake(
            Path("/"),
            self.directory,
            revision=self.revision,
            last_modified=self.last_modified,
            revision_count=self.revision_count,
        ).locked_reference(snapshot)


Flake = LocalFlake | LockedFlake | RemoteFlake
"""Whatever a flake reference may mean."""


@dataclass(frozen=True)
class Fetched:
    """A remote flake with its source."""

    flake: LockedFlake
    snapshot: Snapshot
    unlocked: tuple[Unlocked, ...] = ()
    """Inputs that its lock file lacks."""


def read_metadata(reference: str, text: str) -> tuple[LockedFlake, str]:
    """What `nix flake metadata --json` says, and where the source is in that machine's store."""
    try:
        said = json.loads(text)
        locked = dict(said["locked"])
        path = str(said["path"])
        flake = LockedFlake(
            reference,
            _with_hash(str(said["url"]), locked),
            str(locked["narHash"]),
            str(locked.get("dir") or said.get("resolved", {}).get("dir") or split_query(reference)[1].get("dir") or ""),
            _text(locked.get("rev")),
            int(locked.get("lastModified") or 0),
            None if locked.get("revCount") is None else int(locked["revCount"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FlakeError(f"'nix flake metadata' said nothing of {reference!r} that is known here") from error
    if not is_store_path(path):
        raise FlakeError(f"'nix flake metadata' named no store path of {reference!r}")
    return flake, path


def _with_hash(url: str, locked: dict[str, Any]) -> str:
    if "narHash=" in url or locked.get("type") in _WITHOUT_HASH:
        return url
    return add_parameters(url, {"narHash": str(locked["narHash"])})


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
