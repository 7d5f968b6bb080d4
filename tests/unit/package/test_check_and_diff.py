# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What --check and --diff tell, from the modules' results to what is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from deploy_flake.check_and_diff import lines_about, reboot_reasons
from deploy_flake.display import Display, Plain, summary
from deploy_flake.events import Event, Operation
from deploy_flake.result import HostResult, Outcome
from deploy_flake.returned import Package
from deploy_flake.runner_events import RunnerEvents
from deploy_flake.table import Table

SCHEMA = json.loads((Path(__file__).parents[3] / "deploy_flake/events.schema.json").read_text())
WOULD = {
    "stop": ["hello.service"],
    "start": ["hello.service"],
    "restart": ["counter.service", "web.service"],
    "reload": [],
    "keep": ["display-manager.service"],
    "swapoff": [],
    "restart_systemd": True,
}
SPACE = {
    "nix": {"free_bytes": 5 << 30, "needed_bytes": 32 << 20, "enough": True},
    "boot": {"free_bytes": 1 << 20, "needed_bytes": 3 << 20, "enough": False},
}
CHANGES: dict[str, Any] = {
    "from": "/nix/store/o-old",
    "to": "/nix/store/n-new",
    "closure_bytes": {"before": 1 << 30, "after": (1 << 30) + 1024},
    "kernel": {"before": "6.12.1", "after": "6.12.2"},
    "packages": [
        {"name": "cowsay", "before": [], "after": ["3.8.4"], "size_change_bytes": 33382},
        {"name": "hello", "before": ["1"], "after": ["2"], "size_change_bytes": 0},
        {"name": "etc", "before": [""], "after": [], "size_change_bytes": 0},
        {"name": "same", "before": [], "after": [], "size_change_bytes": -12288},
    ],
    "packages_left_out": 0,
    "units": {"added": ["new.timer"], "removed": ["old.service"], "changed": ["hello.service"]},
}
TOLD = """\
host1:
  stops         hello.service
  starts        hello.service
  restarts      counter.service, web.service
  leaves alone  display-manager.service
  restarts      systemd itself
  reboot        needed for kernel, initrd
  free space    /nix 5.0 GiB free, 32.0 MiB needed
  free space    /boot 1.0 MiB free, 3.0 MiB needed, NOT ENOUGH
  kernel        6.12.1 → 6.12.2
  closure       1.0 GiB → 1.0 GiB (+1.0 KiB)
  package       cowsay none → 3.8.4 (+32.6 KiB)
  package       hello 1 → 2
  package       etc no version → none
  package       same (-12.0 KiB)
  units         +new.timer
  units         -old.service
  units         ~hello.service"""


class Checked:
    """A run with --check --diff that is over, as far as a display looks at it."""

    operation = Operation.DEPLOY
    error = ""
    absent = ()
    seconds = 3.0
    table: dict[str, Any] = {}  # noqa: RUF012 (nobody changes it)

    def __init__(self, show: Display, **values: Any) -> None:
        told: list[Event] = []

        def tell(event: Event) -> None:
            told.append(event)
            show.show(event)

        reports = RunnerEvents(Operation.DEPLOY, {"host1": HostResult("host1")}, tell)
        res: dict[str, Any] = {
            "state": "would-test",
            "toplevel": "/nix/store/n-new",
            "would": WOULD,
            "free_space": SPACE,
        }
        res |= {"changes": CHANGES, "reboot_required": True, "reboot_reasons": ["kernel", "initrd"]} | values
        data = {"host": "host1", "resolved_action": "deploy_flake.nixos.system_test", "res": res}
        reports.handle({"event": "runner_on_ok", "event_data": data})
        reports.handle({"event": "playbook_on_stats", "event_data": {"processed": {"host1": 1}}})
        self.hosts, self.phase = reports.hosts, reports.phase
        for one in told:
            jsonschema.validate(json.loads(json.dumps(one.as_json())), SCHEMA)
        assert told[-1].as_json()["would"] == res["would"]


@pytest.mark.parametrize("kind", [Plain, Table])
def test_all_of_it_is_shown(kind: type[Plain | Table]) -> None:
    out = io.StringIO()
    shown = Plain(out) if kind is Plain else Table(Console(file=out, width=100))
    run = Checked(shown)
    shown.finish(run)  # type: ignore[arg-type]
    assert TOLD in "\n".join(line.rstrip() for line in out.getvalue().splitlines())
    assert run.hosts["host1"].outcome is Outcome.WOULD_CHANGE
    assert "has to be rebooted" in summary(run.hosts["host1"])


def test_system_that_was_not_built() -> None:
    space = {"nix": SPACE["nix"]}
    host = Checked(Plain(io.StringIO()), would=None, changes=None, free_space=space, reboot_reasons=[]).hosts["host1"]
    assert lines_about(host) == ["host1:", "  free space    /nix 5.0 GiB free, 32.0 MiB needed"]


def test_nothing_would_be_done_to_units() -> None:
    nothing: dict[str, Any] = {name: [] for name in WOULD} | {"restart_systemd": False}
    host = Checked(Plain(io.StringIO()), would=nothing, changes=None, free_space={}, reboot_reasons=[]).hosts["host1"]
    assert lines_about(host) == ["host1:", "  units         all stay as they are", "  reboot        not needed"]


def test_hundreds_of_packages_are_counted() -> None:
    packages = [Package(name=f"p{n}", before=["1"], after=["2"], size_change_bytes=0) for n in range(100)]
    changes: Any = CHANGES | {"packages": packages, "packages_left_out": 7}
    lines = lines_about(HostResult("host1", changes=changes))
    assert "  package       and 47 more" in lines
    assert len(lines) < 70


def test_deploy_without_either_tells_nothing_more() -> None:
    assert lines_about(HostResult("host1", Outcome.DEPLOYED)) == []


def test_a_code_that_says_too_little_is_told_in_words() -> None:
    assert reboot_reasons(HostResult("host1", reboot_reasons=["kernel", "status-100"])) == (
        "kernel, what switch-to-configuration found (status 100)"
    )
