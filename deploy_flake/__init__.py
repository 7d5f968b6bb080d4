# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy Nix flakes to NixOS hosts: the collection deploy_flake.nixos as a command and as a Python API.

    import deploy_flake

    run = deploy_flake.deploy(["host1", "nixos://deploy@host2:2222/webserver"], flake=".")
    for host in run.hosts.values():
        print(host.name, host.outcome, host.generation)

Nothing here is imported before it is used, so that the command starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from deploy_flake.api import (
        build,
        build_async,
        deploy,
        deploy_async,
        diff,
        diff_async,
        ended,
        generations,
        generations_async,
        install,
        install_async,
        profiles,
        profiles_async,
        reboot,
        reboot_async,
        revoke,
        revoke_async,
        rollback,
        rollback_async,
        status,
        status_async,
        trial,
        trial_async,
    )
    from deploy_flake.destination import Destination, DestinationError
    from deploy_flake.events import Ended, Entered, Event, Operation, Phase, Progress, Result, Started, Warned
    from deploy_flake.options import DeployOptions, OptionError, RunOptions
    from deploy_flake.result import ExitCode, HostResult, HostStatus, Outcome, Reason, State
    from deploy_flake.run import Run

_WHERE = {
    "api": (
        "build",
        "build_async",
        "deploy",
        "deploy_async",
        "diff",
        "diff_async",
        "ended",
        "generations",
        "generations_async",
        "install",
        "install_async",
        "profiles",
        "profiles_async",
        "reboot",
        "reboot_async",
        "revoke",
        "revoke_async",
        "rollback",
        "rollback_async",
        "status",
        "status_async",
        "trial",
        "trial_async",
    ),
    "destination": ("Destination", "DestinationError"),
    "events": ("Ended", "Entered", "Event", "Operation", "Phase", "Progress", "Result", "Started", "Warned"),
    "options": ("DeployOptions", "OptionError", "RunOptions"),
    "result": ("ExitCode", "HostResult", "HostStatus", "Outcome", "Reason", "State"),
    "run": ("Run",),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "DeployOptions",
    "Destination",
    "DestinationError",
    "Ended",
    "Entered",
    "Event",
    "ExitCode",
    "HostResult",
    "HostStatus",
    "Operation",
    "OptionError",
    "Outcome",
    "Phase",
    "Progress",
    "Reason",
    "Result",
    "Run",
    "RunOptions",
    "Started",
    "State",
    "Warned",
    "build",
    "build_async",
    "deploy",
    "deploy_async",
    "diff",
    "diff_async",
    "ended",
    "generations",
    "generations_async",
    "install",
    "install_async",
    "profiles",
    "profiles_async",
    "reboot",
    "reboot_async",
    "revoke",
    "revoke_async",
    "rollback",
    "rollback_async",
    "status",
    "status_async",
    "trial",
    "trial_async",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
