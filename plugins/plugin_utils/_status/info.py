# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The return values of system_info, from what the command `info` answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._deployment.record import read_record
from .._flake import drift
from .._flake.locked import Flake
from .._host.answer import Answer, number
from . import generations
from .anomalies import explain
from .facts import Facts
from .free_space import free_space
from .generations import Generation

_BOOT_DEFAULT = "boot-default"
"""As a reason for a reboot, beside the parts of the boot default that are not what was booted."""


def values(answer: Answer, flake: Flake | None, configuration: str | None) -> dict[str, Any]:
    """All of them; the host is compared with the flake, where one is given."""
    found = generations.read(answer)
    deployments = [read_record(line) for line in answer.all("deployment")]
    facts = Facts.read(answer, found, deployments)
    reboot_reasons = [*answer.all("reboot_for"), *([_BOOT_DEFAULT] if facts.boot_default_waits else [])]
    return {
        "current_system": facts.current,
        "specialisation": facts.specialisation,
        "booted_system": facts.booted,
        "boot_default": facts.boot_default,
        "boot_loader": answer.get("loader"),
        "boot_loader_default": facts.loader,
        "generation": number(answer.get("generation")),
        "hostname": answer.get("hostname"),
        "kernel_version": answer.get("kernel"),
        "nixos_version": answer.get("nixos_version"),
        "configuration_revision": answer.get("configuration_revision"),
        "boot_default_revision": answer.get("boot_default_revision"),
        "age": _age(answer, found, facts.parent or facts.current),
        "health": answer.get("manager"),
        "failed_units": answer.all("failed_unit"),
        "reboot_required": bool(reboot_reasons),
        "reboot_reasons": reboot_reasons,
        "generations": [one.as_value() for one in found],
        "deployments": deployments,
        "open_deployment": facts.open_deployment and facts.open_deployment.as_value(),
        "trial": facts.trial and facts.trial.as_value(),
        "explanations": [one.as_value() for one in explain(facts)],
        "free_space": free_space(answer),
        "ssh_host_keys": _host_keys(answer.all("ssh_host_key")),
        "complete": facts.complete,
        "drift": None if flake is None else _drift(answer, flake, configuration),
    }


def _drift(answer: Answer, flake: Flake, configuration: str | None) -> dict[str, Any]:
    record = read_record(answer.get("deployment_of_current"))
    return drift.compare(flake, answer.get("configuration_revision"), record, configuration).as_value()


def _host_keys(found: Sequence[str]) -> list[dict[str, str]]:
    """Each as its type, and as a line without its comment."""
    words = [line.split() for line in found]
    return [{"type": each[0], "key": " ".join(each[:2])} for each in words if len(each) > 1]


def _age(answer: Answer, found: Sequence[Generation], system: str) -> int | None:
    made = [one.made for one in found if one.system == system]
    return max(0, int(answer.get("now")) - max(made)) if made else None
