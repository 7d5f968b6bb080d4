# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real ansible-playbook shows, through the real ansible-runner: on this machine, where it does nothing."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import ansible.cli
import pytest

import deploy_flake
from deploy_flake import Entered, Event, ExitCode, Outcome, Phase, Progress, RunOptions, Warned
from deploy_flake import ansible as its_ansible
from deploy_flake.ansible_output import Line, Step, lines

# A collection of our name whose module talks as ours does, and does nothing.
ACTION = """\
import time
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        display = Display()
        display.display("web1: [build] builds it")
        display.display("web1: 3 of 7 are built")
        display.display("web1: [test] tries it")
        display.warning("web1: " + "a word " * 30 + "and an end")
        display.warning("of no host")
        display.display("nobody: says this")
        display.error("web1: [boot] is no step here")
        time.sleep(self._task.args.get("sleep", 0))
        return {"state": "committed", "build": {}, "test": {"state": "window"}, "boot": {"state": "committed"}}
"""
PLAYBOOK = """\
- hosts: all:nothing
  gather_facts: false
  tasks:
    - name: Deploy
      deploy_flake.nixos.flake_deploy:
        sleep: {sleep}
"""
REVOKES = "[{hosts: all, gather_facts: false, tasks: [{ansible.builtin.meta: noop}]}]"
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


@pytest.fixture
def collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where such a collection is; it has the place of ours."""
    root = tmp_path / "ansible_collections/deploy_flake/nixos"
    for name, text in {
        "plugins/action/flake_deploy.py": ACTION,
        "plugins/modules/flake_deploy.py": "",
        "playbooks/deploy.yml": PLAYBOOK.format(sleep=0),
        "playbooks/revoke.yml": REVOKES,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(its_ansible, "our_collections", lambda _private: tmp_path)
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "home"))
    return root


def options(**more: str) -> RunOptions:
    return RunOptions(inventory=["web1,"], variables=LOCAL, become_password=more.get("become_password"))


def test_steps_progress_and_warnings(collection: Path) -> None:
    told: list[Event] = []
    run = deploy_flake.deploy(run=options(), on_event=told.append)
    assert (run.exit_code, run.error, run.hosts["web1"].outcome) == (ExitCode.OK, "", Outcome.DEPLOYED), run.output
    # The error names a step and begins none.
    assert [event.phase for event in told if isinstance(event, Entered)] == [Phase.BUILDING, Phase.TESTING]
    assert [event.text for event in told if isinstance(event, Progress)] == [
        "builds it",
        "3 of 7 are built",
        "tries it",
    ]
    warned = [(event.host, event.text) for event in told if isinstance(event, Warned)]
    # In one piece, though it was folded.
    assert ("web1", "a word " * 30 + "and an end") in warned
    assert ("web1", "of no host") in warned
    assert (None, "Could not match supplied host pattern, ignoring: nothing") in warned
    assert ("web1", "[boot] is no step here") in warned


def test_that_we_interrupted_it_is_no_news(collection: Path) -> None:
    (collection / "playbooks/deploy.yml").write_text(PLAYBOOK.format(sleep=60))
    told: list[Event] = []

    def listen(event: Event) -> None:
        told.append(event)
        if isinstance(event, Progress) and event.text == "tries it":
            run.cancel()

    run = deploy_flake.deploy(run=options(), on_event=listen, wait=False)
    run.wait(120)
    # Whether it still says so depends on where the signal meets it.
    said = "User interrupted execution"
    assert said in inspect.getsource(ansible.cli)
    assert list(lines("error", f"[ERROR]: {said}", {"web1"})) == []
    assert not [event for event in told if isinstance(event, Warned) and said in event.text]
    # It was asked to roll back, and had nothing to.
    assert (run.exit_code, run.hosts["web1"].outcome) == (ExitCode.INTERRUPTED, Outcome.INTERRUPTED)


def test_password_of_sudo_is_asked_for_and_given(collection: Path) -> None:
    run = deploy_flake.deploy(run=options(become_password="secret"))
    assert run.exit_code is ExitCode.OK, run.output
    assert "BECOME password" in run.output
    assert "secret" not in run.output


def test_playbook_that_cannot_be_read(collection: Path) -> None:
    (collection / "playbooks/deploy.yml").write_text("- hosts: all\n  tasks: nonsense:\n")
    run = deploy_flake.deploy(run=options())
    assert run.exit_code is ExitCode.FAILED
    assert run.error.startswith("ansible-playbook ended with 4 and did nothing. It said:")
    assert "ERROR" in run.error


def test_only_the_words_of_the_collection_are_steps() -> None:
    text = "web1: [test] x\nweb1: [other] x\nweb2: [test] x\n\n  web1: y  "
    assert list(lines("verbose", text, {"web1"})) == [
        Line("x", "web1", Step.TEST),
        Line("[other] x", "web1"),
        Line("web2: [test] x"),
        Line("y", "web1"),
    ]
