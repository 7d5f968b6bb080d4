# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a host would go backwards: from a revision that it has committed to an older one, or aside."""

from __future__ import annotations

import json
import re

from .._codes import OnOlder, Refusal
from .._flake import git
from .._flake.git import Relation
from .._flake.local import LocalFlake
from .._flake.locked import LockedFlake
from .._flake.reference import FlakeError
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .settings import BuildSettings
from .transfer import Sources


class _UnknownError(Exception):
    """Why nobody can tell."""


_REVISION = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})(-dirty)?")


def compared(settings: BuildSettings, sources: Sources | None) -> Sources | None:
    """The sources of the flake that is to be compared with what the host has committed, where that can be."""
    if settings.on_older is OnOlder.ALLOW or sources is None:
        return None
    if _revision(sources.flake):
        return sources
    # Which version somebody else gives out at a URL, nobody here has chosen.
    is_refused = isinstance(sources.flake, LockedFlake) and settings.on_older is OnOlder.REFUSE
    return sources if is_refused else None


def refuse_older(host: Host, sources: Sources, on_older: OnOlder, answer: Answer) -> None:
    """Say so, or HostError, where the flake does not come after what the host says that it last committed."""
    flake = sources.flake
    ours = _revision(flake)
    theirs, about = _last_committed(answer)
    if not theirs:
        return
    what = f"the flake in {flake.root}" if isinstance(flake, LocalFlake) else f"the flake {flake.url}"
    last = f"{host.name} last committed {theirs}{about}"
    refused = on_older is OnOlder.REFUSE
    try:
        how = _how(_relation(sources, ours, theirs, refused), ours, flake)
    except _UnknownError as error:
        if refused:
            raise HostError(
                f"{last}, and nobody can tell whether {what} comes after it: {error}. Nothing of {host.name}'s system"
                " was changed. Deploy a clone of it from the controller, or set on_older (deploy_flake_on_older) to"
                " 'allow' or 'warn'",
                Refusal.OLDER_FLAKE,
            ) from error
        return
    if not how:
        return
    message = f"{what} goes backwards: {last}, and {how}"
    if refused:
        update = "Update the flake ('git pull')" if isinstance(flake, LocalFlake) else "Name the revision that is meant"
        raise HostError(
            f"{message}. Nothing of {host.name}'s system was changed. {update}, or set on_older"
            " (deploy_flake_on_older) to 'allow' or 'warn'; to go back on purpose there is the playbook rollback, too.",
            Refusal.OLDER_FLAKE,
        )
    host.warn(f"{message}. ('deploy_flake_on_older: refuse' refuses that, 'allow' does not mention it.)")


def _revision(flake: LocalFlake | LockedFlake) -> str:
    """The commit; of a tree with changes the one that is checked out."""
    return flake.revision or (flake.base if isinstance(flake, LocalFlake) else None) or ""


def _relation(sources: Sources, ours: str, theirs: str, fetch: bool) -> Relation:
    """How the one stands to the other. The commits of a remote flake are fetched only where much depends on it."""
    if not ours:
        raise _UnknownError("it has no revision")
    if ours == theirs:
        return Relation.SAME
    try:
        history = sources.history(theirs, fetch)
    except FlakeError as error:
        raise _UnknownError(f"its commits could not be fetched by the controller: {error}") from error
    if history is None:
        raise _UnknownError("its commits are not here")
    found = git.relation(history, ours, theirs)
    if found is None:
        raise _UnknownError(
            "its commits were fetched in part only ('shallow=1')"
            if isinstance(sources.flake, LockedFlake)
            else "it is a shallow clone, without its older commits ('git fetch --unshallow' gets them)"
        )
    return found


def _how(relation: Relation, ours: str, flake: LocalFlake | LockedFlake) -> str:
    """What is wrong with the one revision after the other; "" where nothing is."""
    tree = f"{ours} with changes" if isinstance(flake, LocalFlake) and flake.dirty else ours
    match relation:
        case Relation.OLDER:
            return f"{tree} is older: that has all of its commits"
        case Relation.DIVERGED:
            return f"{tree} has diverged from it: neither comes after the other"
        case Relation.UNKNOWN:
            return f"{tree} does not come after it: this repository has no such commit, so it is behind, or another one"
    return ""


def _last_committed(answer: Answer) -> tuple[str, str]:
    """The revision that the host has committed, and who deployed it, in words; "" where it is not known."""
    try:
        record = json.loads(answer.get("committed_record") or "{}")
    except ValueError:
        record = {}
    said = record.get("revision") or record.get("dirty_revision") or answer.get("committed_revision")
    found = _REVISION.fullmatch(str(said or "").strip())
    if not found:
        return "", ""
    who, when = record.get("by"), str(record.get("id") or "").partition("-")[0]
    changes = " with changes that were not committed to git" if found[2] else ""
    deployed = f" (deployed by {who} from {record.get('controller')} at {when})" if who else ""
    return found[1], changes + deployed
