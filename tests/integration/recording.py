# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records what ansible-runner reports of runs on the lab's hosts, for tests/unit/package/test_wording.py.

As root: PYTHONPATH=tests:. python -m integration.recording
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from integration.commanding import reaching
from integration.playing import LIMITS, change_the_flake, copy_of_the_flake

import deploy_flake
from deploy_flake import DeployOptions, Destination, Run, RunOptions
from deploy_flake.ansible_output import STATED
from deploy_flake.runner_events import RunnerEvents
from lab import Host, Lab

RECORDED = Path(__file__).parents[1] / "unit/package/recorded"
# What nothing is read of, and is long or says where it was recorded.
_NOT = {"invocation", "diff", "generations", "deployments", "reference", "flake", "log"}
_OF_DATA = ("host", "task_action", "resolved_action", "ignore_errors", "processed", "failures")


def main() -> None:
    """Record everything; the lab's hosts are as new before each run."""
    lab = Lab()
    lab.up(3)
    hosts = [lab.hosts["host1"], lab.hosts["host3"]]
    with tempfile.TemporaryDirectory() as directory:
        flake = copy_of_the_flake(Path(directory))
        change_the_flake(flake, "recorded")
        run = RunOptions(ssh_args=reaching(hosts)[0].removeprefix("--ssh-args="), reconnect_timeout=30)
        options: dict[str, Any] = {"limits": LIMITS}

        def deploys(*configurations: str, **more: Any) -> Callable[[], Run]:
            where = [_destination(host, name) for host, name in zip(hosts, configurations, strict=False)]
            chosen = DeployOptions(**{**options, **more})
            return lambda: deploy_flake.deploy(where, str(flake), options=chosen, run=run)

        where = [_destination(host) for host in hosts]
        fleet = {"all_or_nothing": True, "limits": {}}
        for name, again, begin in (
            ("deployed", False, deploys("host1", "host3-new-units")),
            ("unchanged", True, deploys("host1", "host3-new-units")),
            ("all-or-nothing-one-unchanged", True, deploys("host1", "host3-exit-4", **fleet)),
            ("status", True, lambda: deploy_flake.status(where, str(flake), run=run)),
            ("nothing-to-revoke", True, lambda: deploy_flake.revoke(where, run=run)),
            ("rolled-back-on-purpose", True, lambda: deploy_flake.rollback(where, options=_quick(), run=run)),
            ("one-rolls-back", False, deploys("host1", "host3-exit-4")),
            ("check", False, deploys("host1", "host3-check-fails", check=True)),
            ("refused-and-not-built", False, deploys("host1-unsafe", "host3-build-fails")),
            ("all-or-nothing", False, deploys("host1", "host3-exit-4", **fleet)),
            ("all-or-nothing-deployed", False, deploys("host1", "host3", **fleet)),
            ("unreachable", False, lambda: deploy_flake.status([Destination("127.1.0.1", port=1)], run=run)),
        ):
            if not again:
                lab.reset(hosts)
            _record(name, begin, str(flake))


def _quick() -> DeployOptions:
    return DeployOptions(limits=LIMITS)


def _destination(host: Host, configuration: str | None = None) -> Destination:
    return Destination(host.address, host.user, host.port, configuration)


def _record(name: str, begin: Callable[[], Run], flake: str) -> None:
    events: list[dict[str, Any]] = []
    handle = RunnerEvents.handle

    def noting(self: RunnerEvents, event: Mapping[str, Any]) -> bool:
        events.append(_trimmed(event))
        return handle(self, event)

    with patch.object(RunnerEvents, "handle", noting):
        run = begin()
    outcomes = {host.name: str(host.outcome) for host in run.hosts.values()}
    recorded = {"operation": run.operation, "outcomes": outcomes, "exit_code": run.exit_code, "events": events}
    text = json.dumps(recorded, indent=1, ensure_ascii=False, default=str).replace(flake, "/flake")
    (RECORDED / f"{name}.json").write_text(text + "\n", "utf-8")
    print(name, outcomes, run.exit_code, run.error, flush=True)


def _trimmed(event: Mapping[str, Any]) -> dict[str, Any]:
    data = event.get("event_data") or {}
    kept = {key: data[key] for key in _OF_DATA if key in data}
    if "res" in data:
        kept["res"] = _without(data["res"])
    spoken = {"stdout": event["stdout"]} if event["event"] in STATED else {}
    return {"event": event["event"], **spoken, "event_data": kept}


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without(part) for name, part in value.items() if name not in _NOT and name[0] != "_"}
    return [_without(part) for part in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
