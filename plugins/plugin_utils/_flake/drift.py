# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what a host runs was built from the flake as it is now.

Compared is what a system was built from and not what the flake evaluates to now: a flake that has moved on may well
give one host the same system again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from . import git
from .local import LocalFlake, RemoteFlake
from .locked import Flake, LockedFlake

_HOST = "the host does not know what its system was built from"
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# In a flake reference: `?rev=…`, or as a part of the path, as in github:owner/repository/REVISION.
_NAMED = re.compile(r"(?:[?&]rev=|/)([0-9a-f]{40})(?=[?&/]|$)")


class DriftState(StrEnum):
    """Whether a host's system was built from a flake."""

    NONE = "none"
    DRIFTED = "drifted"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Drift:
    """How a host's system stands to a flake."""

    state: DriftState
    text: str
    """A few words, for a table."""
    flake_revision: str = ""
    """Of the flake; "" where it has none, as a tree with changes."""
    revision: str = ""
    """Of what the host's system was built from."""
    why: str = ""
    """Where it is unknown."""

    def as_value(self) -> dict[str, Any]:
        """As the module returns it."""
        return asdict(self) | {"state": str(self.state)}


def compare(
    flake: Flake,
    said: str,
    record: Mapping[str, Any],
    configuration: str | None = None,
) -> Drift:
    """Compare.

    `said` is the revision that the system says of itself, `record` the last deployment of that very system, if any.
    """
    revision = said or str(record.get("revision") or "")
    deployed = str(record.get("configuration") or "")
    if configuration and deployed and deployed != configuration:
        return Drift(DriftState.DRIFTED, f"configuration {deployed}", _revision(flake), revision)
    if isinstance(flake, RemoteFlake):
        return _remote(flake, revision)
    ours = flake.revision or ""
    if ours and ours == revision:
        return Drift(DriftState.NONE, "no", ours, revision)
    # The content alone tells of trees with changes and of flakes without git, and may be the same in another commit.
    hashed = str(record.get("nar_hash") or "")
    if hashed and hashed == (flake.nar_hash if isinstance(flake, LockedFlake) else _nar_hash(flake)):
        return Drift(DriftState.NONE, "no", ours, revision)
    if ours and _REVISION.fullmatch(revision):
        apart = "another commit" if isinstance(flake, LockedFlake) else _apart(flake, revision)
        return Drift(DriftState.DRIFTED, apart, ours, revision)
    if hashed or (ours and revision):
        return Drift(DriftState.DRIFTED, "other content", ours, revision)
    why = _HOST if ours else "the flake has no revision to compare with"
    return Drift(DriftState.UNKNOWN, "unknown", ours, revision, why)


def _remote(flake: RemoteFlake, revision: str) -> Drift:
    ours = named_revision(flake)
    if ours and revision:
        return (
            Drift(DriftState.NONE, "no", ours, revision)
            if ours == revision
            else Drift(DriftState.DRIFTED, "yes", ours, revision)
        )
    why = _HOST
    if not ours:
        why = f"nobody could tell which revision {flake.reference} is; name one, or give a clone of it"
    return Drift(DriftState.UNKNOWN, "unknown", ours, revision, why)


def _revision(flake: Flake) -> str:
    return named_revision(flake) if isinstance(flake, RemoteFlake) else flake.revision or ""


def named_revision(flake: RemoteFlake) -> str:
    """The revision that a reference names; "" for none."""
    named = _NAMED.search(flake.reference)
    return named[1] if named else ""


def _nar_hash(flake: LocalFlake) -> str:
    with flake.snapshot() as snapshot:
        return snapshot.nar_hash


def _apart(flake: LocalFlake, revision: str) -> str:
    """How far the host's commit is from the flake's, where git knows both."""
    counts = git.apart(flake.root, revision, flake.revision or "")
    if counts is None:
        return "another commit"
    ahead, behind = counts
    words = [f"{behind} behind" if behind else "", f"{ahead} ahead" if ahead else ""]
    return ", ".join(word for word in words if word) or "another commit"
