# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing hangs on a sentence: runs that were recorded on the lab's hosts come to the same with every text replaced.

tests/integration/recording.py records them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deploy_flake import Entered, ExitCode, Operation
from deploy_flake import Event as OurEvent
from deploy_flake.result import exit_code
from deploy_flake.runner_events import RunnerEvents

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[3] / "deploy_flake/events.schema.json").read_text("utf-8"))
)
RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
# The keys of results that have text for people.
TEXTS = {"msg", "why", "text", "notes", "warnings", "deprecations", "exception", "remarks", "stdout", "stderr"}
BEGINS = re.compile(r"\S+: \[(?:build|test|boot)\] ")


def reworded(value: Any, within: bool = False) -> Any:
    """With every text for people replaced. A line of progress keeps its host and the word with which a step begins."""
    if isinstance(value, dict):
        return {name: reworded(part, within or name in TEXTS) for name, part in value.items()}
    if isinstance(value, list):
        return [reworded(one, within) for one in value]
    if not within or not isinstance(value, str):
        return value
    begins = BEGINS.match(value)
    return f"{begins[0]}x" if begins else "x"


def play(recorded: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    """What comes of it, but for the texts."""
    told: list[OurEvent] = []
    fleet = "all-or-nothing" in recorded["name"]
    reports = RunnerEvents(Operation(recorded["operation"]), {}, told.append, fleet)
    for event in events:
        reports.handle(event)
    reports.end(interrupted=False)
    for one in told:
        SCHEMA.validate(json.loads(json.dumps(one.as_json())))
    hosts = reports.hosts.values()
    return {
        "outcomes": {host.name: str(host.outcome) for host in hosts},
        "states": {host.name: str(host.state) for host in hosts},
        "reasons": {host.name: host.reason for host in hosts},
        "systems": {host.name: (host.previous_system, host.system, host.new_system, host.generation) for host in hosts},
        "phases": sorted((event.host, str(event.phase)) for event in told if isinstance(event, Entered)),
        "warnings": sum(event.event == "warning" for event in told),
        "exit_code": exit_code(hosts),
    }


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_run_comes_to_the_same_in_other_words(file: Path) -> None:
    recorded = {**json.loads(file.read_text("utf-8")), "name": file.stem}
    events = recorded["events"]
    before, after = play(recorded, events), play(recorded, reworded(events))
    assert before["outcomes"] == recorded["outcomes"]
    assert before["exit_code"] == ExitCode(recorded["exit_code"])
    assert after == before


def test_there_is_something_to_reword() -> None:
    """Every outcome that a run can have of its own accord, with texts in most of them."""
    read = [json.loads(file.read_text("utf-8")) for file in RECORDED]
    outcomes = {outcome for one in read for outcome in one["outcomes"].values()}
    assert outcomes >= {"deployed", "unchanged", "would-change", "rolled-back", "failed", "unreachable"}
    assert sum(reworded(one["events"]) != one["events"] for one in read) > len(read) / 2
    text = json.dumps([reworded(one["events"]) for one in read])
    assert "another-host-failed" in text
    assert "[test] x" in text
