# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions that begin, confirm or revoke a deployment or reboot: from a task's options to its result."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.actions import Runner
from unit.fake_host import FakeHost, Scripted, answered
from unit.settings import NEW, OLD

from ansible_collections.deploy_flake.nixos.plugins.action import flake_deploy
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal, State
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer, HostError

LOOKED = {"valid": "yes", "new_live": NEW, "previous_live": OLD, "previous_boot": OLD, "boot_id": "one"}
UNCHANGED = {"unchanged": "yes", "previous_live": NEW, "previous_boot": NEW, "generation": "7"}
WINDOW = {"state": "window", "window_left": "100"}
CONFIRMED = {"state": "confirmed", "confirmed": "yes"}
BUILT = {"changed": True, "toplevel": NEW, "configuration": "web1", "revision": "r", "nar_hash": "h", "flake": "/f"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(monkeypatch)


def ended(state: State, **fields: str) -> dict[str, str]:
    record = {"outcome": state, "from": OLD, "to": NEW, "to_live": NEW, "live": NEW, "boot": NEW, "generation": "8"}
    return {"state": state, "record": json.dumps(record | fields)}


COMMITTED = ended(State.COMMITTED)


def is_plain(value: Any) -> bool:
    """Whether Ansible would take it: no subclass of a string, and no tuple."""
    if isinstance(value, dict):
        return all(is_plain(name) and is_plain(each) for name, each in value.items())
    if isinstance(value, list):
        return all(is_plain(each) for each in value)
    return type(value) in (str, int, float, bool, type(None))


# system_test, system_boot, system_rollback, system_revoke


def test_system_test(run: Runner) -> None:
    host = FakeHost([LOOKED, WINDOW])
    result = run("system_test", host, {"toplevel": NEW})
    assert (result["state"], result["system"], host.commands) == ("window", NEW, ["preflight", "start"])
    assert is_plain(result)


def test_system_test_in_check_mode(run: Runner) -> None:
    result = run("system_test", FakeHost([LOOKED | {"checked": "yes"}]), {"toplevel": NEW}, check_mode=True)
    assert (result["state"], result["changed"]) == ("would-test", True)
    assert is_plain(result)


def test_fleet_has_time_for_all_of_its_batches(run: Runner) -> None:
    host = FakeHost([LOOKED, WINDOW])
    task_vars = {"ansible_play_hosts_all": [f"host{number}" for number in range(11)], "ansible_forks": 4}
    run("system_test", host, {"toplevel": NEW, "all_or_nothing": True}, task_vars)
    assert f"confirm_limit={3 * 423 + 120}" in host.asked[1].inputs["settings"]


def test_system_boot_confirms(run: Runner) -> None:
    host = FakeHost([CONFIRMED, COMMITTED])
    result = run("system_boot", host, {"toplevel": NEW, "deployment": "the-id"})
    assert (result["state"], result["deployment"], host.commands) == ("committed", "the-id", ["confirm", "poll"])


def test_system_boot_prepares(run: Runner) -> None:
    host = FakeHost([WINDOW | {"prepared": "yes"}])
    result = run("system_boot", host, {"toplevel": NEW, "deployment": "the-id", "prepare": True})
    assert (result["state"], host.commands) == ("prepared", ["prepare"])
    assert is_plain(result)


def test_system_boot_without_a_deployment(run: Runner) -> None:
    host = FakeHost([LOOKED, COMMITTED])
    assert run("system_boot", host, {"toplevel": NEW})["state"] == "committed"
    assert host.commands == ["preflight", "start"]


def test_system_rollback(run: Runner) -> None:
    host = FakeHost([LOOKED | {"toplevel": NEW, "generation_to": "6"}, WINDOW, CONFIRMED, COMMITTED])
    assert run("system_rollback", host, {})["state"] == "committed"
    assert host.commands == ["preflight", "start", "confirm", "poll"]


def test_system_revoke(run: Runner) -> None:
    host = FakeHost([{"state": "rolling-back", "revoked": "yes"}, ended(State.ROLLED_BACK)])
    result = run("system_revoke", host, {"deployment": "the-id"})
    assert (result["state"], result["revoked"]) == ("rolled-back", True)
    assert host.asked[0].inputs["reason"] == "by the operator"


@pytest.mark.parametrize(
    ("name", "args", "state"),
    [
        ("system_boot", {"toplevel": NEW, "deployment": "the-id"}, "would-boot"),
        ("system_revoke", {"deployment": "the-id"}, "would-revoke"),
    ],
)
def test_check_mode_asks_nothing_of_a_deployment(run: Runner, name: str, args: dict[str, Any], state: str) -> None:
    result = run(name, FakeHost(), args, check_mode=True)
    assert result == {"changed": True, "deployment": "the-id", "state": state}
    assert is_plain(result)


def test_system_reboot(run: Runner) -> None:
    host = FakeHost([{"boot_id": "one", "booted": NEW, "boot_default": NEW, "manager": "running"}])
    result = run("system_reboot", host, {"only_if_needed": True})
    assert (result["state"], result["changed"]) == ("not-needed", False)


# flake_deploy


class Build:
    """In place of the build on the host."""

    def __init__(self, said: Scripted) -> None:
        self.said = said
        self.look: dict[str, str] = {}

    def __call__(self, _host: Any, _options: Any, _task: Any, look: dict[str, str]) -> tuple[dict[str, Any], Answer]:
        self.look = look
        if isinstance(self.said, Exception):
            raise self.said
        return dict(BUILT), answered(self.said)


def deploy(
    run: Runner,
    monkeypatch: pytest.MonkeyPatch,
    said: Scripted,
    *answers: Scripted,
    check_mode: bool = False,
    **args: Any,
) -> tuple[FakeHost, dict[str, Any]]:
    host = FakeHost(answers)
    monkeypatch.setattr(flake_deploy, "build", Build(said))
    result = run("flake_deploy", host, {"flake": "."} | args, check_mode=check_mode)
    assert host.done()
    assert is_plain(result)
    return host, result


def test_flake_deploy_builds_tests_and_confirms(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    host, result = deploy(run, monkeypatch, {"boot_id": "one"}, WINDOW | LOOKED, CONFIRMED, COMMITTED)
    assert (result["state"], result["changed"]) == ("committed", True)
    assert [result[name].get("state") for name in ("build", "test", "boot")] == [None, "window", "committed"]
    # What was just built is looked at and started in one go.
    assert host.commands == ["start", "confirm", "poll"]
    assert host.asked[0].inputs["since_boot"] == "one"
    about = json.loads("{" + host.asked[0].inputs["about"] + "}")
    assert {name: about[name] for name in ("flake", "revision", "configuration", "nar_hash")} == {
        "flake": ".",
        "revision": "r",
        "configuration": "web1",
        "nar_hash": "h",
    }
    assert host.asked[1].inputs["meant"] == NEW
    begins = [line.split()[0] for line in host.told if line.startswith("[")]
    assert begins == ["[test]", "[boot]"]


def test_flake_deploy_leaves_it_waiting(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    _host, result = deploy(run, monkeypatch, {"boot_id": "one"}, WINDOW | LOOKED, confirm=False)
    assert (result["state"], "boot" in result) == ("window", False)


def test_flake_deploy_does_not_confirm_what_was_rolled_back(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    rolled_back = ended(State.ROLLED_BACK, why="x", why_code="units-failed")
    _host, result = deploy(run, monkeypatch, {"boot_id": "one"}, rolled_back | {"new_live": NEW})
    assert (result["state"], result["failed"], result["reason"]) == ("rolled-back", True, "units-failed")
    assert "boot" not in result


def test_flake_deploy_without_a_test(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    host, result = deploy(run, monkeypatch, {"boot_id": "one"}, LOOKED, COMMITTED, test=False)
    assert (result["state"], "test" in result) == ("committed", False)
    assert host.told[0] == f"[boot] is to boot {NEW}"


@pytest.mark.parametrize("test", [True, False])
def test_flake_deploy_of_what_runs_already(run: Runner, monkeypatch: pytest.MonkeyPatch, test: bool) -> None:
    host, result = deploy(run, monkeypatch, UNCHANGED, test=test)
    assert (result["state"], result["test" if test else "boot"]["previous_system"]) == ("unchanged", NEW)
    assert (host.asked, host.told) == ([], [])


def test_flake_deploy_of_a_specialisation_without_a_test(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    _host, result = deploy(run, monkeypatch, UNCHANGED, test=False, specialisation="s")
    assert (result["failed"], result["reason"]) == (True, "specialisation-without-test")


def test_flake_deploy_whose_build_fails(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    _host, result = deploy(run, monkeypatch, HostError("x", Refusal.BUILD_FAILED))
    assert (result["failed"], result["reason"], result["msg"]) == (True, "build-failed", "x")
    assert result["build"]["failed"]
    assert "state" not in result


def test_flake_deploy_of_a_fleet_does_not_confirm(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flake_deploy, "build", Build(UNCHANGED))
    result = run("flake_deploy", FakeHost(), {"flake": ".", "all_or_nothing": True})
    assert (result["failed"], result["reason"]) == (True, "bad-option")


def test_flake_deploy_in_check_mode(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    host, result = deploy(run, monkeypatch, {"boot_id": "one"}, LOOKED | {"checked": "yes"}, check_mode=True)
    assert (result["state"], host.commands) == ("would-test", ["preflight"])


# What all actions have in common


UNPROVEN: list[tuple[str, dict[str, Any]]] = [
    ("flake_deploy", {"toplevel": NEW}),
    ("system_test", {"toplevel": NEW}),
    ("system_boot", {"toplevel": NEW, "deployment": "the-id"}),
    ("system_boot", {"toplevel": NEW, "deployment": "the-id", "prepare": True}),
    ("system_rollback", {}),
    ("system_reboot", {"toplevel": NEW, "trial": True}),
]


# In check mode system_boot asks and says nothing of a deployment.
@pytest.mark.parametrize(
    ("name", "args", "check_mode"),
    [
        (*each, check_mode)
        for each in UNPROVEN
        for check_mode in (False, True)
        if not ("deployment" in each[1] and check_mode)
    ],
)
def test_connection_that_proves_no_way_in(run: Runner, name: str, args: dict[str, Any], check_mode: bool) -> None:
    look = {"boot_id": "one", "booted": OLD, "current": OLD, "boot_default": OLD, "manager": "running"}
    # A reboot is looked at first, to know that it is one.
    host = FakeHost([look] if name == "system_reboot" else [], over_ssh=False)
    result = run(name, host, args, check_mode=check_mode)
    assert (result["failed"], result["reason"], host.done()) == (True, Refusal.UNPROVEN_WAY_IN, True)
    assert "allow 'unproven_way_in'" in result["msg"]


def test_connection_that_proves_no_way_in_may_be_allowed(run: Runner) -> None:
    host = FakeHost([LOOKED, WINDOW, CONFIRMED, COMMITTED], over_ssh=False)
    result = run("system_rollback", host, {"toplevel": NEW, "confirm": True, "allow": ["unproven_way_in"]})
    assert (result["state"], host.done()) == ("committed", True)


def test_what_nobody_tests_live_needs_no_way_in(run: Runner) -> None:
    host = FakeHost([LOOKED, COMMITTED], over_ssh=False)
    assert run("system_boot", host, {"toplevel": NEW})["state"] == "committed"


def test_options_are_checked(run: Runner) -> None:
    result = run("system_test", FakeHost(), {})
    assert (result["failed"], result["reason"]) == (True, "bad-option")
    assert "missing required arguments: toplevel" in result["msg"]


@pytest.mark.parametrize(
    ("failure", "result"),
    [
        (HostError("host1 x", Refusal.NOT_VALID), {"msg": "host1 x", "reason": "not-valid"}),
        (
            HostError("host1 x", Refusal.NOT_ROOT),
            {"msg": "host1 x; set 'become: true' for the task or log in as root", "reason": "not-root"},
        ),
        (FlakeError("x"), {"msg": "x"}),
    ],
)
def test_failure_is_a_result(run: Runner, failure: Exception, result: dict[str, Any]) -> None:
    found = run("system_boot", FakeHost([failure]), {"toplevel": NEW, "lock_timeout": 0})
    assert found == {"failed": True, **result}
    assert is_plain(found)


def test_return_values_that_are_known_all_the_same(run: Runner) -> None:
    refusal = {"free_nix_kib": "1", "refused": "no-space", "message": "x"}
    found = run("system_boot", FakeHost([refusal]), {"toplevel": NEW}, check_mode=True)
    assert (found["state"], found["reason"], found["failed"]) == ("would-refuse", "no-space", True)
    assert not found["free_space"]["nix"]["enough"]


def test_host_that_never_answered_is_unreachable_and_one_that_did_is_lost(run: Runner) -> None:
    class Dead(FakeHost):
        def persist(self, *_args: Any, **_more: Any) -> Any:
            raise AnsibleConnectionFailure("no route to host")

    host = Dead()
    with pytest.raises(AnsibleConnectionFailure):
        run("system_test", host, {"toplevel": NEW})
    host.reached = True
    found = run("system_test", host, {"toplevel": NEW})
    assert found == {"failed": True, "msg": "lost the connection to host1: no route to host", "reason": "lost"}


def test_polls_are_spread_by_how_many_hosts_there_are_at_once(run: Runner) -> None:
    made = []

    def host(_action: Any, name: str, at_once: int, _on_behalf_of: str) -> FakeHost:
        made.append((name, at_once))
        return FakeHost([UNCHANGED])

    for forks, at_once in ((5, 3), (2, 2), (None, 1)):
        known = {"ansible_play_batch": ["a", "b", "c"], "ansible_forks": forks}
        run("system_test", host, {"toplevel": NEW}, known)
        assert made.pop() == ("host1", at_once)
