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
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .settings import BuildSettings
from .transfer import Sources

_REVISION = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})(-dirty)?")


def compared(settings: BuildSettings, sources: Sources | None) -> LocalFlake | None:
    """The flake that is to be compared with what the host has committed, if git knows both."""
    flake = sources.flake if sources else None
    if settings.on_older is OnOlder.ALLOW or not isinstance(flake, LocalFlake):
        return None
    return flake if flake.revision or flake.base else None


def refuse_older(host: Host, flake: LocalFlake, on_older: OnOlder, answer: Answer) -> None:
    """Say so, or HostError, where the flake does not come after what the host says that it last committed."""
    ours = flake.revision or flake.base
    theirs, about = _last_committed(answer)
    if not ours or not theirs:
        return
    how = _how(git.relation(flake.root, ours, theirs), ours, theirs, flake)
    if not how:
        return
    message = f"the flake in {flake.root} goes backwards: {host.name} last committed {theirs}{about}, and {how}"
    if on_older is OnOlder.REFUSE:
        raise HostError(
            f"{message}. Nothing of {host.name}'s system was changed. Update the flake ('git pull'), or set on_older"
            " (deploy_flake_on_older) to 'allow' or 'warn'; to go back on purpose there is the playbook rollback, too.",
            Refusal.OLDER_FLAKE,
        )
    host.warn(f"{message}. ('deploy_flake_on_older: refuse' refuses that, 'allow' does not mention it.)")


def _how(relation: Relation | None, ours: str, theirs: str, flake: LocalFlake) -> str:
    """What is wrong with the one revision after the other; "" where nothing is, or git cannot tell."""
    tree = f"{ours} with changes" if flake.dirty else ours
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
