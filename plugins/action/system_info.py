# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells what a host runs and boots. See the module's documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._deployment.record import read_record
from ..plugin_utils._flake import drift
from ..plugin_utils._flake.local import find_flake
from ..plugin_utils._host.answer import Answer, number
from ..plugin_utils._host.connection import Host
from ..plugin_utils._status import anomalies as half_states
from ..plugin_utils._status import generations
from ..plugin_utils._status.free_space import room

_AT_WORK = ("active", "activating", "deactivating")


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_info`."""

    module = "system_info"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Read everything in one go."""
        # Before the host is asked: a flake that is not there is no matter of the host's.
        flake = find_flake(options["flake"], Path.cwd()) if options["flake"] else None
        answer = host.run("info", limit=120, deployments=str(options["deployments"]))
        result = facts(answer)
        result["drift"] = None
        if flake is not None:
            record = read_record(answer.get("deployment_of_current"))
            compared = drift.compare(flake, answer.get("configuration_revision"), record, options["configuration"])
            result["drift"] = compared.as_value()
        opened = result["open_deployment"]
        if opened and not opened["in_progress"]:
            host.warn(f"deployment {opened['deployment']} was left unfinished; the next deployment repairs it")
        return {"changed": False, **result}


def facts(answer: Answer) -> dict[str, Any]:
    """The return values, from what info.sh answers."""
    found = generations.read(answer)
    current, booted, default = answer.get("current"), answer.get("booted"), answer.get("boot_default")
    specialisation, parent = generations.specialisation_of(current, found, default)
    deployments = [read_record(line) for line in answer.all("deployment")]
    opened = open_deployment(answer)
    reboot_for = answer.all("reboot_for")
    tried = trial(answer)
    # It has never been started, and nobody is about to.
    if (
        default
        and current == booted
        and default not in (current, parent)
        and (not tried or tried["toplevel"] != current)
    ):
        reboot_for.append("boot-default")
    explanations = half_states.explain(
        half_states.Facts(
            current=current,
            booted=booted,
            boot_default=default,
            loader=answer.get("loader_default"),
            parent=parent,
            loader_parent=generations.specialisation_of(answer.get("loader_default"), found, default)[1],
            open_deployment=opened,
            last_deployment=deployments[-1] if deployments else None,
            trial=tried,
            unfinished_removal=bool(answer.get("unfinished_removal")),
        )
    )
    return {
        "current_system": current,
        "specialisation": specialisation,
        "booted_system": booted,
        "boot_default": default,
        "boot_loader_default": answer.get("loader_default"),
        "generation": number(answer.get("generation")),
        "hostname": answer.get("hostname"),
        "kernel_version": answer.get("kernel"),
        "nixos_version": answer.get("nixos_version"),
        "configuration_revision": answer.get("configuration_revision"),
        "boot_default_revision": answer.get("boot_default_revision"),
        "age": _age(answer, found, parent or current),
        "health": answer.get("manager"),
        "failed_units": answer.all("failed_unit"),
        "reboot_required": bool(reboot_for),
        "reboot_reasons": reboot_for,
        "generations": [one.as_value() for one in found],
        "deployments": deployments,
        "open_deployment": opened,
        "trial": tried,
        "explanations": explanations,
        "free_space": room(answer),
        "complete": answer.get("root") == "0",
    }


def open_deployment(answer: Answer) -> dict[str, Any] | None:
    """The deployment that has not ended. Without root only one that is at work can be seen, and not where it stands."""
    in_progress = answer.get("open_unit") in _AT_WORK
    if answer.get("open"):
        state = answer.get("open_state") or "interrupted"
        return {"deployment": answer.get("open"), "state": state, "in_progress": in_progress}
    about = re.fullmatch(r"deploys \S+ \((\S+)\)", answer.get("open_about"))
    if in_progress and about:
        return {"deployment": about[1], "state": "unknown", "in_progress": True}
    return None


def trial(answer: Answer) -> dict[str, Any] | None:
    """A system that was booted once and was not kept, or is being tried."""
    if not (toplevel := answer.get("trial")):
        return None
    return {
        "toplevel": toplevel,
        "in_progress": answer.get("trial_in_progress") == "yes",
        "outcome": answer.get("trial_outcome"),
    }


def _age(answer: Answer, found: list[generations.Generation], system: str) -> int | None:
    made = [one.made for one in found if one.system == system]
    return max(0, int(answer.get("now")) - max(made)) if made else None
