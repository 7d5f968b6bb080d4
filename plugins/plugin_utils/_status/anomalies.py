# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is unusual about the systems of a host, and how to make an end of it.

A host is whole when it runs what it boots, the boot loader agrees, and no deployment is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_REWRITE = "'/nix/var/nix/profiles/system/bin/switch-to-configuration boot' as root writes the boot loader anew"


@dataclass(frozen=True)
class Facts:
    """What there is to know; "" for what is not known."""

    current: str
    booted: str
    boot_default: str
    loader: str = ""
    parent: str = ""
    """The system of which the running one is a specialisation."""
    loader_parent: str = ""
    open_deployment: Mapping[str, Any] | None = None
    last_deployment: Mapping[str, Any] | None = None
    trial: Mapping[str, Any] | None = None
    unfinished_removal: bool = False


def explain(facts: Facts) -> list[dict[str, str]]:
    """Each half state as one word and in words; none for a host that is whole."""
    found = [*_of_deployments(facts)]
    if facts.open_deployment and facts.open_deployment["in_progress"]:
        # All else is about to change.
        return found
    found += [*_of_systems(facts), *_of_loader(facts)]
    if facts.unfinished_removal:
        found.append(
            _half(
                "removal-interrupted",
                "the removal of old generations was interrupted; their systems are kept, and the boot loader may still"
                " offer them. The module system_generations finishes it",
            )
        )
    return found


def _half(state: str, text: str) -> dict[str, str]:
    return {"state": state, "text": text}


def _of_deployments(facts: Facts) -> list[dict[str, str]]:
    found = []
    if (one := facts.open_deployment) is not None:
        name, state = one["deployment"], one["state"]
        if one["in_progress"]:
            waits = "; it waits for confirmation, and goes back without one" if state == "window" else ""
            found.append(_half("deploying", f"deployment {name} is under way ({state}){waits}"))
        else:
            found.append(
                _half(
                    "deployment-interrupted",
                    f"deployment {name} was left unfinished ({state}), and nothing is at work on it. The next"
                    " deployment repairs it before anything else",
                )
            )
    last = facts.last_deployment or {}
    same = (last.get("live"), last.get("boot")) == (facts.current, facts.boot_default)
    if last.get("outcome") in ("rollback-failed", "commit-failed") and same:
        found.append(
            _half(
                str(last["outcome"]),
                f"deployment {last.get('id')} ended {last['outcome']}, and the host is still as it left it:"
                f" {last.get('why')}. Look at 'systemctl --failed' and 'journalctl -u deploy-flake', and deploy again",
            )
        )
    return found


def _of_systems(facts: Facts) -> list[dict[str, str]]:
    current, booted, default = facts.current, facts.booted, facts.boot_default
    if not default:
        return [_half("no-boot-default", "there is no system profile, so it is not known what the host would boot")]
    if default in (current, facts.parent):
        return []
    if current == booted:
        if facts.trial and facts.trial["toplevel"] == current:
            return [_booted_once(facts.trial, default)]
        return [
            _half(
                "boot-default-not-live",
                f"the host would boot {default}, which does not run: it was made the boot default without being"
                f" activated, or {current} was booted by choice. A reboot starts it",
            )
        ]
    after = "what was booted" if default == booted else "neither that nor what was booted"
    return [
        _half(
            "tested-not-confirmed",
            f"the host runs {current} and would boot {default}, {after}: what runs was tried and never confirmed. A"
            " reboot ends it; a deployment of what runs keeps it",
        )
    ]


def _booted_once(trial: Mapping[str, Any], default: str) -> dict[str, str]:
    if trial["in_progress"]:
        return _half(
            "booted-once",
            f"{trial['toplevel']} was booted once, and its trial is under way; if that does not end well, the next boot"
            f" starts {default}",
        )
    return _half(
        "booted-once",
        f"{trial['outcome']}. The playbook trial, or system_reboot with trial and this toplevel, looks at it and keeps"
        " it; a reboot ends it",
    )


def _of_loader(facts: Facts) -> list[dict[str, str]]:
    if not facts.loader or not facts.boot_default or facts.boot_default in (facts.loader, facts.loader_parent):
        return []
    return [
        _half(
            "loader-disagrees",
            f"the system profile is {facts.boot_default}, but the boot loader starts {facts.loader}; {_REWRITE}",
        )
    ]
