# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is lost when a deployment may have begun there: which one, and by when the host has decided by itself."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.actions import Runner
from unit.fake_host import Clock, FakeHost, Scripted, answered
from unit.settings import NEW, OLD, settings

from ansible_collections.deploy_flake.nixos.plugins.action import flake_deploy
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import State
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import wait_while_busy
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection

LOOKED = {"valid": "yes", "new_live": NEW, "previous_live": OLD, "previous_boot": OLD, "boot_id": "one"}
WINDOW = {"state": "window", "window_left": "100"}
BUSY = {"refused": "busy", "message": "is being switched by somebody"}
BUILT = {"changed": True, "toplevel": NEW, "configuration": "web1", "revision": "r", "nar_hash": "h", "flake": "/f"}
GONE = AnsibleConnectionFailure("timed out")
COMMITTED = {"state": "committed", "record": json.dumps({"outcome": "committed", "live": NEW, "to": NEW})}
LIMITS = settings().limits.for_deployment(0)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (connection, wait_while_busy):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(monkeypatch)


class TimeIsUp(BaseException):
    """As what ends a task with a `timeout` of its own."""


def gone_after(*answers: Scripted) -> Iterable[Scripted]:
    return itertools.chain(answers, itertools.repeat(GONE))


def lost(run: Runner, answers: Iterable[Scripted], name: str = "system_test", **args: Any) -> dict[str, Any]:
    """The result of a task whose host is lost, and has begun the deployment that it was told of."""
    host = FakeHost(answers)
    fleet = {"ansible_play_hosts_all": ["host1"], "ansible_forks": 5}
    result = run(name, host, {"toplevel": NEW} | args if name != "system_revoke" else args, fleet)
    assert result["failed"]
    if begun := [each.inputs["id"] for each in host.asked if "id" in each.inputs]:
        assert result["deployment"] == begun[-1]
    return result


def decides_in(result: Mapping[str, Any], seconds: int) -> None:
    left = datetime.fromisoformat(result["decides_by"]) - datetime.now(UTC)
    assert abs(left - timedelta(seconds=seconds)) < timedelta(seconds=5)
    assert f"by {result['decides_by']} at the latest" in result["msg"]


def test_nothing_is_begun_by_looking(run: Runner) -> None:
    result = lost(run, gone_after())
    assert (result["reason"], result.keys() & {"state", "deployment", "decides_by"}) == ("lost", set())


@pytest.mark.parametrize("answers", [[LOOKED], [LOOKED, {"state": "checking"}], [LOOKED, {"state": "activating"}]])
def test_lost_test_is_unknown(run: Runner, answers: list[Scripted]) -> None:
    """Also where the very first command that begins it was never answered: the host may have got it."""
    result = lost(run, gone_after(*answers))
    assert (result["state"], result["reason"]) == ("unknown", "lost")
    decides_in(result, 240 + LIMITS.unconfirmed)


def test_lost_deployment_without_a_test_is_unknown(run: Runner) -> None:
    result = lost(run, gone_after(LOOKED, {"state": "commit-boot"}), "system_boot")
    assert result["state"] == "unknown"
    decides_in(result, 240 + LIMITS.whole_run + LIMITS.undo)


def test_lost_confirmation_is_unknown(run: Runner) -> None:
    """The host may have got it, and then commits; or another one, for as long as it waits."""
    result = lost(run, gone_after(), "system_boot", deployment="the-id")
    assert result["state"] == "unknown"
    decides_in(result, LIMITS.confirmed)
    # What the host answers is no news of the end.
    result = lost(run, gone_after({"state": "confirmed", "confirmed": "yes"}), "system_boot", deployment="the-id")
    decides_in(result, LIMITS.confirmed)


def test_window_may_have_been_extended(run: Runner) -> None:
    result = lost(run, gone_after(), "system_boot", deployment="the-id", prepare=True)
    assert result["state"] == "unknown"
    decides_in(result, 2 * 120 + LIMITS.undo)
    # In a fleet whose time to confirm is made long enough, so is this.
    fleet = {"all_or_nothing": True, "deployment": "the-id", "prepare": True}
    decides_in(lost(run, gone_after(), "system_boot", **fleet), 2 * (423 + 120) + LIMITS.undo)


def test_host_that_was_prepared_says_how_long_it_waits_now(run: Runner) -> None:
    host = FakeHost([{"state": "window", "window_left": "220", "prepared": "yes"}])
    result = run("system_boot", host, {"toplevel": NEW, "deployment": "the-id", "prepare": True})
    left = datetime.fromisoformat(result["decides_by"]) - datetime.now(UTC)
    assert abs(left - timedelta(seconds=220 + LIMITS.undo)) < timedelta(seconds=5)


def test_lost_revocation_is_unknown(run: Runner) -> None:
    result = lost(run, gone_after(), "system_revoke", deployment="the-id")
    assert (result["state"], result["deployment"], "decides_by" in result) == ("unknown", "the-id", False)


def test_host_that_says_no_has_begun_nothing(run: Runner) -> None:
    result = run("system_test", FakeHost([LOOKED, BUSY]), {"toplevel": NEW, "lock_timeout": 0})
    assert (result["reason"], result.keys() & {"state", "deployment"}) == ("busy", set())


def test_no_after_a_lost_command_proves_nothing(run: Runner) -> None:
    """What was sent before may have begun."""
    result = lost(run, [LOOKED, GONE, BUSY], lock_timeout=0)
    assert (result["reason"], result["state"]) == ("busy", "unknown")
    # Nor does it when the host is waited for.
    result = lost(run, itertools.chain([LOOKED, GONE], itertools.cycle([BUSY, LOOKED])), lock_timeout=10)
    assert (result["reason"], result["state"]) == ("busy", "unknown")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([{"state": "unknown"}], "unknown-deployment"),
        ([{"state": "settling", "holder": "inactive"}] * 12, "abandoned"),
    ],
)
def test_deployment_that_nobody_carries_out_decides_nothing(run: Runner, answers: list[Scripted], reason: str) -> None:
    result = lost(run, [LOOKED, *answers])
    assert (result["reason"], result["state"], "decides_by" in result) == (reason, "unknown", False)


@pytest.mark.parametrize("end", [TimeIsUp("after 60 s"), RuntimeError("a mistake"), GONE])
def test_task_that_breaks_off_in_another_way(run: Runner, end: BaseException) -> None:
    """A task with a `timeout`, a mistake of ours, a connection that nobody waits for."""

    class Ends(FakeHost):
        def persist(self, *given: Any, **more: Any) -> Any:
            found = super().persist(*given, **more)
            if len(self.asked) == 2:
                self.reached = False
                raise end
            return found

    host = Ends([LOOKED, {"state": "activating"}])
    result = run("system_test", host, {"toplevel": NEW})
    assert (result["failed"], result["state"]) == (True, "unknown")
    assert result["deployment"] == host.asked[-1].inputs["id"]
    decides_in(result, 240 + LIMITS.unconfirmed)


@pytest.mark.parametrize(("end", "after"), [(KeyboardInterrupt(), 2), (SystemExit(), 2), (TimeIsUp(), 1), (GONE, 1)])
def test_what_is_not_ours_to_catch(run: Runner, end: BaseException, after: int) -> None:
    """Who ends the process ends it, and before anything was begun Ansible tells it as it tells it of any task."""

    class Ends(FakeHost):
        def persist(self, *given: Any, **more: Any) -> Any:
            found = super().persist(*given, **more)
            if len(self.asked) == after:
                self.reached = False
                raise end
            return found

    with pytest.raises(type(end)):
        run("system_test", Ends([LOOKED, {"state": "activating"}]), {"toplevel": NEW})


def deployed(run: Runner, monkeypatch: pytest.MonkeyPatch, answers: Iterable[Scripted]) -> dict[str, Any]:
    monkeypatch.setattr(flake_deploy, "build", lambda *_given: (dict(BUILT), answered({"boot_id": "one"})))
    return run("flake_deploy", FakeHost(answers), {"flake": "."})


def test_flake_deploy_says_it_of_the_last_step(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    result = deployed(run, monkeypatch, gone_after())
    assert (result["state"], result["test"]["state"], "boot" in result) == ("unknown", "unknown", False)
    assert result["deployment"] == result["test"]["deployment"]
    decides_in(result, 240 + LIMITS.unconfirmed)
    result = deployed(run, monkeypatch, gone_after(WINDOW | LOOKED))
    assert (result["state"], result["test"]["state"], result["boot"]["state"]) == ("unknown", "window", "unknown")
    decides_in(result, LIMITS.confirmed)


def test_what_has_ended_is_not_undecided(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed = {"state": "confirmed", "confirmed": "yes"}
    result = deployed(run, monkeypatch, [WINDOW | LOOKED, confirmed, COMMITTED])
    assert (result["state"], "decides_by" in result) == (State.COMMITTED, False)
    rolled_back = {"state": "rolled-back", "record": json.dumps({"outcome": "rolled-back", "live": OLD})}
    result = deployed(run, monkeypatch, [LOOKED | rolled_back])
    assert (result["state"], result["failed"], "decides_by" in result) == ("rolled-back", True, False)
