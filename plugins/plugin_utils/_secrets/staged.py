# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends secrets to a host, where they wait for a deployment, and tells which are not there as they should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible.errors import AnsibleError

from .._codes import SecretChange
from .._host.answer import HostError
from .._host.connection import Host
from .secret import Secret, read_all


@dataclass(frozen=True)
class Staged:
    """What the host said of the secrets that it was sent."""

    changes: tuple[dict[str, Any], ...]
    """The return value `secrets`."""
    current: str
    """The system that it runs."""
    sure: bool
    """Not where another deployment is in progress, or has to be repaired: what it has put in place may still go."""
    waits: bool
    """Whether they wait on the host, also where none is different: its deployment looks whether they stay in place."""

    @property
    def may_differ(self) -> bool:
        """Whether there may be something to do, which the deployment sees in its turn."""
        return bool(self.changes) or not self.sure

    @property
    def names(self) -> str:
        """Those that change, for the record."""
        return " ".join(change["name"] for change in self.changes)

    def diff(self) -> dict[str, str]:
        """What changes in Ansible's own form: never a content."""
        old, new = (SecretChange.REMOVED, SecretChange.CONTENT, SecretChange.PERMISSIONS), SecretChange.REMOVED
        before = [change for change in self.changes if change["change"] in old]
        after = [change for change in self.changes if change["change"] != new]
        return {
            "before_header": "secrets",
            "after_header": "secrets",
            "before": "".join(f"secret {change['name']} {change['path']}\n" for change in before),
            "after": "".join(f"{_in_words(change)}\n" for change in after),
        }


def stage(
    host: Host,
    deployment_id: str,
    secrets: Sequence[Secret],
    new: str,
    *,
    remove_others: bool,
    patience: float,
) -> Staged:
    """Send them all, on standard input. They stay on the host where something is or may be to change.

    `new` is the system that is to boot, "" where that stays.
    """
    secrets = read_all(secrets)
    answer = host.contact(
        patience,
        lambda: host.run(
            "secrets",
            limit=180,
            data=b"".join(one.content or b"" for one in secrets),
            id=deployment_id,
            secrets="".join(f"{one.line()}\n" for one in secrets),
            others="remove" if remove_others else "keep",
            new=new,
        ),
        "sending secrets",
    )
    sent = {one.name: one for one in secrets}
    gone = answer.all("secret_goes_with_boot")
    changes: list[dict[str, Any]] = []
    for text in answer.all("secret"):
        how, name, path = text.split(" ", 2)
        change: dict[str, Any] = {"name": name, "path": path, "change": SecretChange(how)}
        if (one := sent.get(name)) and how != SecretChange.REMOVED:
            change |= {"owner": one.owner, "group": one.group, "mode": f"0{one.mode}"}
            change["lasts"] = name not in gone
        changes.append(change)
    if names := ", ".join(gone):
        host.warn(
            f"once these secrets are in place, a reboot takes them away until they are deployed again: {names}. Those"
            " below /run stay with deploy-flake.secrets.enable of the NixOS module; those on another tmpfs do not"
        )
    sure = not answer.get("secrets_not_sure")
    waits = bool(changes) or not sure or bool(answer.get("secrets_wait"))
    return Staged(tuple(changes), answer.get("current"), sure, waits)


def drop(host: Host, deployment_id: str) -> None:
    """Have the host let go of what was sent for a deployment that will not be; in ten minutes it does so by itself."""
    try:
        host.run("secrets_drop", limit=30, id=deployment_id)
    except (HostError, AnsibleError) as error:
        host.tell_more(f"could not drop the secrets that were sent: {error}")


def told(changes: Sequence[dict[str, Any]]) -> str:
    """A line for whoever watches."""
    return ", ".join(f"{change['name']} ({change['change']})" for change in changes)


def _in_words(change: dict[str, Any]) -> str:
    about = f"{change['owner']}:{change['group']} {change['mode']}" if "mode" in change else ""
    return f"secret {change['name']} {change['path']}, {change['change']}{f', {about}' if about else ''}"
