# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that do not answer at the beginning, and are to be left out."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure
from unit.actions import Runner
from unit.fake_host import Clock, FakeHost
from unit.settings import NEW

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._action import HostAction
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

GONE = AnsibleConnectionFailure("Connection timed out")
CLOCK = Clock()
FLEET = ["host1", "host2", "host3"]
ARGUMENTS: dict[str, dict[str, Any]] = {
    "flake_deploy": {"toplevel": NEW},
    "flake_build": {"toplevel": NEW},
    "system_rollback": {"generation": "3"},
    "system_reboot": {},
    "system_generations": {"keep": 1},
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runner:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path), raising=False)
    # Nobody waits for a host that is to be left out.
    monkeypatch.setattr(connection, "time", CLOCK)
    return Runner(monkeypatch)


def asked(run: Runner, module: str, error: Exception = GONE, name: str = "host1", **more: Any) -> dict[str, Any]:
    known = {"inventory_hostname": name, "ansible_play_batch": FLEET, **more.pop("known", {})}
    return run(module, FakeHost(itertools.repeat(error), name=name), {**ARGUMENTS.get(module, {}), **more}, known)


@pytest.mark.parametrize("module", ARGUMENTS)
def test_a_host_that_is_not_there_is_left_out(run: Runner, module: str) -> None:
    before = CLOCK.now
    result = asked(run, module, allow_unreachable=True)
    assert not result.get("failed")
    assert not result.get("unreachable")
    assert (result["absent"], result["changed"]) == (True, False)
    assert result["warnings"] == [result["msg"]]
    assert result["msg"].startswith("host1 could not be reached, and was left as it was: ")
    assert result["msg"].endswith("Connection timed out")
    assert before == CLOCK.now


@pytest.mark.parametrize("module", ARGUMENTS)
def test_without_that_it_is_told_as_ever(run: Runner, module: str) -> None:
    if module in ("system_rollback", "system_reboot"):
        assert asked(run, module)["reason"] == "lost"
        return
    with pytest.raises(AnsibleConnectionFailure):
        asked(run, module)


@pytest.mark.parametrize(
    "error",
    [
        AnsibleAuthenticationFailure("Invalid password"),
        AnsibleConnectionFailure("host1: Permission denied (publickey)."),
        AnsibleConnectionFailure("REMOTE HOST IDENTIFICATION HAS CHANGED!"),
        AnsibleConnectionFailure("Host key verification failed."),
        # That may be a wrong name.
        AnsibleConnectionFailure("ssh: Could not resolve hostname host11: Name or service not known"),
        # A script that may be at work there.
        connection.TimeUpError("no answer within 90 s"),
    ],
)
def test_a_host_that_somebody_may_have_answered_from_is_there(run: Runner, error: Exception) -> None:
    with pytest.raises(type(error)):
        asked(run, "flake_deploy", error, allow_unreachable=True)


def test_a_host_that_was_there_has_failed(run: Runner) -> None:
    class Answered(FakeHost):
        """It was, and is gone."""

        def run(self, command: str, /, **given: Any) -> Any:
            self.reached = True
            return super().run(command, **given)

        def persist(self, *_given: Any, **_more: Any) -> Any:
            self.reached = True
            raise GONE

    result = run("flake_build", Answered([GONE] * 9), {"toplevel": NEW, "allow_unreachable": True})
    assert (result["failed"], result["reason"]) == (True, "lost")
    assert "absent" not in result


def test_where_nobody_answers_one_is_unreachable(run: Runner) -> None:
    results = [asked(run, "flake_build", name=name, allow_unreachable=True) for name in (*FLEET, "host1")]
    assert [bool(result.get("unreachable")) for result in results[:3]] == [False, False, True]
    assert all(result["absent"] for result in results)


def test_a_host_alone(run: Runner) -> None:
    """Or the only one of its batch, or the only one that is left of it."""
    known = {"ansible_play_hosts_all": FLEET, "ansible_play_batch": ["host1"]}
    assert asked(run, "flake_build", allow_unreachable=True, known=known)["unreachable"]


@pytest.mark.parametrize(("serial", "unreachable"), [([1], [0, 0, 1]), ([1, "100%"], [1, 1, 1]), ([], [1, 1, 1])])
def test_where_each_host_is_a_batch_the_others_come_after_it(
    run: Runner, monkeypatch: pytest.MonkeyPatch, serial: list[object], unreachable: list[int]
) -> None:
    """A first batch of one is to show something to the others."""
    monkeypatch.setattr(HostAction, "_play", SimpleNamespace(serial=serial, strategy="linear"))
    results = [
        asked(
            run,
            "system_reboot",
            name=name,
            allow_unreachable=True,
            known={"ansible_play_hosts_all": FLEET, "ansible_play_batch": [name]},
        )
        for name in FLEET
    ]
    assert [int(result.get("unreachable", False)) for result in results] == unreachable


@pytest.mark.parametrize("said", [True, "true"])
def test_one_that_is_asked_before_is_unreachable_there(run: Runner, said: object) -> None:
    """A module that only looks; the play after it does not begin with the host."""
    result = asked(run, "system_info", known={"deploy_flake_allow_unreachable": said})
    assert (result["unreachable"], result["absent"]) == (True, True)
    with pytest.raises(AnsibleConnectionFailure):
        asked(run, "system_info", known={"deploy_flake_allow_unreachable": not said if said is True else "no"})


@pytest.mark.parametrize("module", ["system_test", "system_boot", "system_secrets"])
def test_what_follows_a_build_leaves_nobody_out(run: Runner, module: str) -> None:
    more: dict[str, Any] = {"toplevel": NEW}
    if module == "system_secrets":
        more = {"secrets": [{"name": "a", "content": "b", "path": "/run/a"}]}
    try:
        result = asked(run, module, known={"deploy_flake_allow_unreachable": True}, **more)
    except AnsibleConnectionFailure:
        return
    assert (result["reason"], "absent" in result) == ("lost", False)


def test_a_host_that_has_answered_before_in_this_run_is_lost(run: Runner) -> None:
    """One task found it there; for the next one it is a host like any other."""

    class Answers(FakeHost):
        """It is there, and says no."""

        def run(self, command: str, /, **given: Any) -> Any:
            self.reached = True
            raise HostError("no", "busy")

    known = {"inventory_hostname": "host1", "ansible_play_batch": FLEET}
    assert run("flake_build", Answers([]), ARGUMENTS["flake_build"], known)["failed"]
    with pytest.raises(AnsibleConnectionFailure):
        asked(run, "flake_build", allow_unreachable=True)
    with pytest.raises(AnsibleConnectionFailure):
        asked(run, "system_info", known={"deploy_flake_allow_unreachable": True})
    assert asked(run, "system_reboot", allow_unreachable=True)["reason"] == "lost"
    assert asked(run, "flake_build", name="host2", allow_unreachable=True)["absent"]


def test_another_host_that_a_task_is_delegated_to_is_missed(run: Runner) -> None:
    """The task's own host was never asked."""
    delegate = FakeHost(itertools.repeat(GONE), name="other")
    delegate.on_behalf_of = "host1"
    with pytest.raises(AnsibleConnectionFailure):
        run("flake_build", delegate, {"toplevel": NEW, "allow_unreachable": True}, {"ansible_play_batch": FLEET})
