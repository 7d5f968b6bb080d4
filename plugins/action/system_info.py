# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells what a host runs and boots. See the module's documentation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import report
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host import Answer, Host
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_info`."""

    module = "system_info"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Read everything in one go."""
        answer = host.run("trial", "info", limit=120, deployments=str(options["deployments"]))
        open_deployment = None
        if answer.get("open"):
            open_deployment = {
                "deployment": answer.get("open"),
                "state": answer.get("open_state") or "interrupted",
                "at_work": answer.get("open_unit") in ("active", "activating", "deactivating"),
            }
            if not open_deployment["at_work"]:
                host.warn(f"deployment {answer.get('open')} was left unfinished; the next deployment repairs it")
        return {
            "changed": False,
            "current_system": answer.get("current"),
            "booted_system": answer.get("booted"),
            "boot_default": answer.get("boot_default"),
            "generation": report.number(answer.get("generation")),
            "hostname": answer.get("hostname"),
            "nixos_version": answer.get("nixos_version"),
            "configuration_revision": answer.get("configuration_revision"),
            "health": answer.get("manager"),
            "failed_units": answer.all("failed_unit"),
            "reboot_needed": bool(answer.all("reboot_for")),
            "reboot_needed_for": answer.all("reboot_for"),
            "generations": _generations(answer),
            "deployments": [report.read_record(line) for line in answer.all("deployment")],
            "open_deployment": open_deployment,
            "trial": _trial(answer),
        }


def _trial(answer: Answer) -> dict[str, Any] | None:
    if not (toplevel := answer.get("trial")):
        return None
    return {
        "toplevel": toplevel,
        "at_work": answer.get("trial_at_work") == "yes",
        "outcome": answer.get("trial_outcome"),
    }


def _generations(answer: Answer) -> list[dict[str, Any]]:
    found = []
    for line in answer.all("generation_of"):
        number, seconds, system = line.split(" ", 2)
        made = datetime.fromtimestamp(int(seconds), UTC)
        found.append({"generation": int(number), "date": made.isoformat(), "system": system})
    return sorted(found, key=lambda generation: generation["generation"])
