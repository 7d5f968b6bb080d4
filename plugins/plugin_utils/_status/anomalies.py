# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is unusual about the systems of a host, and how to make an end of it.

A host is whole when it runs what it boots, the boot loader agrees, and no deployment is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from .._codes import State
from .facts import Facts, OpenDeployment, Trial

_REWRITE = "'/nix/var/nix/profiles/system/bin/switch-to-configuration boot' as root writes the boot loader again"


class Anomaly(StrEnum):
    """What may be unusual."""

    DEPLOYING = "deploying"
    DEPLOYMENT_INTERRUPTED = "deployment-interrupted"
    ROLLBACK_FAILED = "rollback-failed"
    COMMIT_FAILED = "commit-failed"
    NO_BOOT_DEFAULT = "no-boot-default"
    BOOTED_ONCE = "booted-once"
    BOOT_DEFAULT_NOT_LIVE = "boot-default-not-live"
    UNTIL_REBOOT = "until-reboot"
    TESTED_NOT_CONFIRMED = "tested-not-confirmed"
    LOADER_DISAGREES = "loader-disagrees"
    LOADER_UNKNOWN = "loader-unknown"
    REMOVAL_INTERRUPTED = "removal-interrupted"


_FAILED: Mapping[str, Anomaly] = {
    State.ROLLBACK_FAILED: Anomaly.ROLLBACK_FAILED,
    State.COMMIT_FAILED: Anomaly.COMMIT_FAILED,
}


@dataclass(frozen=True)
class Explanation:
    """An anomaly, and what it means."""

    anomaly: Anomaly
    text: str

    def as_value(self) -> dict[str, str]:
        """As the module returns it."""
        return {"state": str(self.anomaly), "text": self.text}


def explain(facts: Facts) -> list[Explanation]:
    """Each anomaly; none for a host that is whole."""
    found = [*_of_deployments(facts)]
    if facts.open_deployment and facts.open_deployment.in_progress:
        # All else is about to change.
        return found
    found += [*_of_systems(facts), *_of_loader(facts)]
    if facts.unfinished_removal:
        found.append(
            Explanation(
                Anomaly.REMOVAL_INTERRUPTED,
                "the removal of old generations was interrupted; their systems are kept, and the boot loader may still"
                " offer them. The module system_generations finishes it",
            )
        )
    return found


def _of_deployments(facts: Facts) -> Iterator[Explanation]:
    if facts.open_deployment is not None:
        yield _open(facts.open_deployment)
    last = facts.last_deployment
    anomaly = _FAILED.get(str(last.get("outcome")))
    if anomaly and (last.get("live"), last.get("boot")) == (facts.current, facts.boot_default):
        yield Explanation(
            anomaly,
            f"deployment {last.get('id')} ended {last['outcome']}, and the host is still as it left it:"
            f" {last.get('why')}. Look at 'systemctl --failed' and 'journalctl -u deploy-flake', and deploy again",
        )


def _open(one: OpenDeployment) -> Explanation:
    if one.in_progress:
        waits = "; it waits for confirmation, and rolls back without one" if one.state is State.WINDOW else ""
        return Explanation(Anomaly.DEPLOYING, f"deployment {one.deployment} is in progress ({one.state}){waits}")
    return Explanation(
        Anomaly.DEPLOYMENT_INTERRUPTED,
        f"deployment {one.deployment} was left unfinished ({one.state}), and nothing works on it any more. The next"
        " deployment repairs it before anything else",
    )


def _of_systems(facts: Facts) -> Iterator[Explanation]:
    current, booted, default = facts.current, facts.booted, facts.boot_default
    if not default:
        yield Explanation(
            Anomaly.NO_BOOT_DEFAULT, "there is no system profile, so it is not known what the host would boot"
        )
    elif facts.runs_boot_default:
        return
    elif current == booted and facts.trial is not None and facts.runs_trial:
        yield _booted_once(facts.trial, default)
    elif facts.until_reboot:
        yield Explanation(
            Anomaly.UNTIL_REBOOT,
            f"the host runs {current} until the next reboot, as was chosen, and would boot {default}. A deploy of what"
            " runs keeps it; a reboot, or a rollback, leads back to the boot default",
        )
    elif facts.is_confirmed:
        chosen = f", or {current} was booted by choice" if current == booted else f"; {current} was committed before"
        yield Explanation(
            Anomaly.BOOT_DEFAULT_NOT_LIVE,
            f"the host would boot {default}, which does not run: it was made the boot default without being"
            f" activated{chosen}. A reboot starts it",
        )
    elif not facts.complete and default != booted:
        yield Explanation(
            Anomaly.BOOT_DEFAULT_NOT_LIVE,
            f"the host would boot {default}, which does not run, and runs {current}, which was not booted; only root is"
            " told whether that was ever confirmed. A reboot starts the former",
        )
    else:
        after = "what was booted" if default == booted else "neither that nor what was booted"
        never = "never confirmed" if facts.complete else "never confirmed, as far as one is told who is not root"
        yield Explanation(
            Anomaly.TESTED_NOT_CONFIRMED,
            f"the host runs {current} and would boot {default}, {after}: what runs was tried and {never}. A"
            " reboot ends it; a deployment of what runs keeps it",
        )


def _booted_once(trial: Trial, default: str) -> Explanation:
    if trial.in_progress:
        return Explanation(
            Anomaly.BOOTED_ONCE,
            f"{trial.toplevel} was booted once, and its trial is in progress; if that does not end well, the next boot"
            f" starts {default}",
        )
    return Explanation(
        Anomaly.BOOTED_ONCE,
        f"{trial.outcome}. The playbook trial, or system_reboot with trial and this toplevel, looks at it and keeps"
        " it; a reboot ends it",
    )


def _of_loader(facts: Facts) -> Iterator[Explanation]:
    if not facts.boot_default:
        return
    if facts.loader_disagrees and facts.boot_default != facts.loader_parent:
        yield Explanation(
            Anomaly.LOADER_DISAGREES, f"the system profile is {facts.boot_default}, but {facts.loader_why}; {_REWRITE}"
        )
    elif facts.loader_why and not facts.loader and facts.complete:
        yield Explanation(
            Anomaly.LOADER_UNKNOWN,
            f"what the boot loader starts by itself is unknown: {facts.loader_why}; that it is {facts.boot_default} is"
            " believed of the system profile",
        )
