# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for ansible-runner that plays events, and the events that it plays."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Event = dict[str, Any]
OLD, NEW = f"/nix/store/{'0' * 32}-nixos-system-web-1", f"/nix/store/{'1' * 32}-nixos-system-web-2"


def started(host: str, module: str) -> Event:
    """A task begins with a host."""
    return {"event": "runner_on_start", "event_data": {"host": host, "task_action": f"deploy_flake.nixos.{module}"}}


def result(host: str, module: str, how: str = "ok", **values: Any) -> Event:
    """A task has ended with a host."""
    action = f"deploy_flake.nixos.{module}" if "." not in module else module
    return {"event": f"runner_on_{how}", "event_data": {"host": host, "resolved_action": action, "res": values}}


def stats(*hosts: str) -> Event:
    """ansible-playbook has come to its end."""
    return {"event": "playbook_on_stats", "event_data": {"processed": dict.fromkeys(hosts, 1), "failures": {}}}


def shown(text: str, kind: str = "verbose") -> Event:
    """A line of what ansible-playbook shows."""
    return {"event": kind, "stdout": text}


def deployed(host: str) -> list[Event]:
    """All that happens to a host that is deployed."""
    test = {"state": "window", "deployment": "d", "toplevel": NEW, "previous_system": OLD}
    boot = {"state": "committed", "generation": 3}
    ends = result(host, "flake_deploy", state="committed", build={"toplevel": NEW}, test=test, boot=boot)
    return [started(host, "flake_deploy"), ends]


class Playing:
    """One call of ansible_runner.run, while it lasts."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.playbook: str = given["playbook"]
        self.arguments: list[str] = shlex.split(given["cmdline"])
        self.artifacts = Path(given["private_data_dir"], "artifacts", given["ident"])
        self.output = ""
        self.code: int | None = 0

    def play(self, *events: Event) -> None:
        """Report these."""
        for event in events:
            self.given["event_handler"](event)

    def must_end(self) -> bool:
        """Ask whether to go on, as ansible-runner does all the time."""
        return bool(self.given["cancel_callback"]())

    @property
    def variables(self) -> dict[str, Any]:
        """What the playbook gets."""
        (file,) = (word.removeprefix("--extra-vars=@") for word in self.arguments if word.startswith("--extra-vars=@"))
        read: dict[str, Any] = json.loads(Path(file).read_text("utf-8"))
        return read

    @property
    def inventory(self) -> dict[str, Any]:
        """The inventory that was made of destinations."""
        (file,) = self.given["inventory"]
        read: dict[str, Any] = json.loads(Path(file).read_text("utf-8"))["all"]
        return read


Script = Callable[[Playing], None]


class FakeRunner:
    """Plays its scripts, one for each call; they are asked for in turn."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.calls: list[Playing] = []

    def run(self, **given: Any) -> SimpleNamespace:
        """What ansible_runner.run is, as far as it is used."""
        playing = Playing(given)
        self.calls.append(playing)
        playing.artifacts.mkdir(parents=True)
        config = SimpleNamespace(artifact_dir=str(playing.artifacts))
        (playing.artifacts / "command").write_text("the whole environment")
        given["status_handler"]({"status": "starting"}, config)
        given["status_handler"]({"status": "running"}, config)
        self.scripts[len(self.calls) - 1](playing)
        (playing.artifacts / "stdout").write_text(playing.output)
        return SimpleNamespace(rc=playing.code, config=config)


def plays(monkeypatch: pytest.MonkeyPatch, *scripts: Script) -> FakeRunner:
    """Have it take the place of ansible-runner."""
    fake = FakeRunner(*scripts)
    monkeypatch.setitem(sys.modules, "ansible_runner", fake)
    return fake


def that_plays(*events: Event) -> Script:
    """A script that does nothing but report."""
    return lambda playing: playing.play(*events)
