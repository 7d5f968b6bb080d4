# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live test, its confirmation or revocation, and the rollback, which is both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.fake_host import Clock, FakeHost, Scripted
from unit.settings import NEW, OLD, settings

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import FINAL, Refusal, State
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import wait_while_busy
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.confirm import (
    confirm,
    prepare,
    refuse_to_confirm_alone,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.context import Context
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.deployment import Deployment
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.live_test import try_live, unchanged
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.revoke import revoke
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.rollback import roll_back
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection, reboot
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer, HostError

LOOKED = {"valid": "yes", "new_live": NEW, "previous_live": OLD, "previous_boot": OLD, "boot_id": "one"}
UNCHANGED = {"unchanged": "yes", "previous_live": NEW, "previous_boot": NEW, "generation": "7"}
WINDOW = {"state": "window", "window_left": "100"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (wait_while_busy, reboot, connection):
        monkeypatch.setattr(module, "time", clock)
    return clock


def ended(state: State, mode: str = "test", **fields: str) -> dict[str, str]:
    live = NEW if state == State.COMMITTED and mode == "test" else OLD
    record = {"outcome": state, "mode": mode, "from": OLD, "from_boot": OLD, "to": NEW, "to_live": NEW, "live": live}
    return {
        "state": state,
        "record": json.dumps(record | {"reboot_required": "no", "why": "x", "why_code": "y"}),
    } | fields


# The test


def decides_in(result: Mapping[str, Any], seconds: int) -> bool:
    left = datetime.fromisoformat(result["decides_by"]) - datetime.now(UTC)
    return abs(left - timedelta(seconds=seconds)) < timedelta(seconds=5)


def tried(*answers: Scripted, **given: Any) -> tuple[Deployment | None, dict[str, Any]]:
    return try_live(FakeHost(answers), settings(**given), Context())


def test_system_that_waits_for_confirmation() -> None:
    begun, result = tried(LOOKED, {"state": "activating"}, WINDOW)
    assert begun is not None
    assert (result["state"], result["toplevel"], result["system"]) == ("window", NEW, NEW)
    assert (result["previous_system"], result["previous_boot_default"], result["changed"]) == (OLD, OLD, True)
    assert begun.limits is not None
    assert decides_in(result, 100 + begun.limits.undo)
    assert "generation_from" not in result


def test_system_that_needs_a_reboot_does_not_run() -> None:
    _begun, result = tried(LOOKED, WINDOW | {"mode": "boot"})
    assert (result["system"], result["reboot_required"]) == (OLD, True)


def test_system_that_was_rolled_back() -> None:
    begun, result = tried(LOOKED, ended(State.ROLLED_BACK))
    assert begun is not None
    assert (result["state"], result["failed"], result["reason"], result["system"]) == ("rolled-back", True, "y", OLD)
    assert "decides_by" not in result


def test_system_that_runs_already() -> None:
    begun, result = tried(UNCHANGED)
    assert (begun, result["state"], result["system"], result["generation"]) == (None, "unchanged", NEW, 7)
    host = FakeHost([UNCHANGED])
    assert unchanged(settings(), host.run("poll", id="", known="", awaited="", patience="", quiet="")) == result


@pytest.mark.parametrize(
    ("looked", "rollback_to", "state"),
    [
        ({"checked": "yes"}, None, "would-test"),
        ({"checked": "yes"}, "previous", "would-rollback"),
        ({"checked": "yes", "needs_reboot": "status-100"}, "previous", "would-boot"),
        ({}, "previous", "would-refuse"),
    ],
)
def test_check_mode(looked: dict[str, str], rollback_to: str | None, state: str) -> None:
    host = FakeHost([LOOKED | looked])
    begun, result = try_live(host, settings(), Context(check_mode=True), rollback_to)
    assert (begun, result["state"], result["system"]) == (None, state, OLD)


# The confirmation


def waiting(*answers: Scripted) -> tuple[FakeHost, Deployment]:
    host = FakeHost(answers)
    its = Deployment(host, "the-id", 300)
    return host, its


def test_confirmation_over_a_fresh_connection_and_the_end_over_the_shared_one() -> None:
    host, its = waiting({"state": "confirmed", "confirmed": "yes"}, {"state": "commit-boot"}, ended(State.COMMITTED))
    result = confirm(host, its, settings())
    assert (result["state"], result["system"]) == ("committed", NEW)
    assert host.connections == ["fresh", "shared"]
    assert host.commands == ["confirm", "poll", "poll"]
    assert host.asked[0].inputs["meant"] == NEW
    assert {each.inputs["awaited"] for each in host.asked} == {""}


def test_confirmation_that_did_not_take_is_said_again() -> None:
    """The window was not there yet, or somebody else was faster."""
    host, its = waiting({"state": "settling"}, {"state": "confirmed"}, ended(State.COMMITTED))
    assert confirm(host, its, settings())["state"] == "committed"
    assert (host.commands, host.connections) == (["confirm"] * 3, ["fresh"])
    assert {each.inputs["meant"] for each in host.asked} == {NEW}


def test_confirmation_may_have_to_be_said_elsewhere() -> None:
    gone = AnsibleConnectionFailure("timed out")
    host, its = waiting(gone, gone, {"state": "confirmed", "confirmed": "yes"}, ended(State.COMMITTED))
    confirm(host, its, settings(confirm_hosts=["192.0.2.7"]))
    assert host.connections == ["fresh", "192.0.2.7", "192.0.2.1", "shared"]


def test_system_that_was_lost_meanwhile() -> None:
    host, its = waiting(ended(State.ROLLED_BACK))
    result = confirm(host, its, settings())
    assert (result["state"], result["failed"], result["changed"]) == ("rolled-back", True, False)


@pytest.mark.parametrize(
    ("choice", "mode", "reboots"),
    [("boot_and_reboot", "boot", True), ("boot_and_reboot", "test", False), ("boot", "boot", False)],
)
def test_reboot_where_it_was_chosen_and_is_needed(choice: str, mode: str, reboots: bool) -> None:
    before = {"boot_id": "one", "booted": OLD, "boot_default": NEW, "manager": "running"}
    after = before | {"boot_id": "two", "booted": NEW}
    looks = [before, before, after] if reboots else []
    host, its = waiting({"state": "confirmed", "confirmed": "yes"}, ended(State.COMMITTED, mode), *looks)
    result = confirm(host, its, settings(on_reboot_required=choice))
    assert (result.get("rebooted", False), host.done()) == (reboots, True)
    assert host.commands[2:] == ["reboot"] * len(looks)
    assert result["system"] == (NEW if reboots or mode == "test" else OLD)


def test_rolled_back_host_is_not_rebooted() -> None:
    host, its = waiting(ended(State.ROLLED_BACK, "boot"))
    assert "rebooted" not in confirm(host, its, settings(on_reboot_required="boot_and_reboot"))


def test_host_that_could_commit() -> None:
    host, its = waiting({"state": "window", "prepared": "yes"})
    result = prepare(host, its, settings())
    assert (result["state"], result["changed"], host.connections) == ("prepared", False, ["fresh"])


def test_host_that_has_ended_before_it_was_prepared() -> None:
    host, its = waiting(ended(State.ROLLED_BACK))
    result = prepare(host, its, settings())
    assert (result["state"], result["failed"]) == ("rolled-back", True)


def test_fleet_is_not_confirmed_by_the_task_that_tests() -> None:
    refuse_to_confirm_alone(settings(all_or_nothing=True))
    refuse_to_confirm_alone(settings(confirm=True))
    with pytest.raises(HostError) as caught:
        refuse_to_confirm_alone(settings(all_or_nothing=True, confirm=True))
    assert caught.value.reason == Refusal.BAD_OPTION


# The revocation


def test_revocation_is_followed_to_its_end() -> None:
    host, its = waiting({"state": "window", "revoked": "yes"}, {"state": "rolling-back"}, ended(State.ROLLED_BACK))
    result = revoke(host, its, "the site is down")
    assert (result["state"], result["revoked"], result["changed"]) == ("rolled-back", True, True)
    assert not {"failed", "msg", "reason"} & result.keys()
    assert host.asked[0].inputs["reason"] == "the site is down"
    assert set(host.asked[0].inputs["awaited"].split()) == {"checking", "activating", "settling"}


def test_revocation_of_one_that_does_not_wait_yet() -> None:
    host, its = waiting(
        {"state": "settling"}, WINDOW, {"state": "rolling-back", "revoked": "yes"}, ended(State.ROLLED_BACK)
    )
    assert revoke(host, its, "no")["revoked"] is True
    assert host.commands == ["revoke", "poll", "revoke", "poll"]


def test_revocation_that_comes_too_late() -> None:
    host, its = waiting({"state": "commit-boot"}, ended(State.COMMITTED))
    result = revoke(host, its, "no")
    assert (result["state"], result["revoked"], result["changed"]) == ("committed", False, False)
    assert "committed before it could be revoked" in host.warned[-1]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_revocation_fails_only_where_the_host_could_not_roll_back(state: State) -> None:
    host, its = waiting(ended(state))
    fails = state in (State.ROLLBACK_FAILED, State.COMMIT_FAILED)
    result = revoke(host, its, "no")
    assert (result.get("failed", False), "reason" in result) == (fails, fails)


# The rollback

FOUND = LOOKED | {"toplevel": NEW, "generation_from": "7", "generation_to": "6"}


def test_rollback_is_tested_and_confirmed() -> None:
    host = FakeHost([FOUND, WINDOW, {"state": "confirmed", "confirmed": "yes"}, ended(State.COMMITTED)])
    result = roll_back(host, settings(toplevel=None, confirm=True), Context(), None)
    assert (result["state"], result["generation_from"], result["generation_to"]) == ("committed", 7, 6)
    assert "decides_by" not in result
    assert (host.asked[0].inputs["rollback_to"], host.asked[2].inputs["meant"]) == ("previous", NEW)


def test_rollback_that_somebody_else_confirms() -> None:
    host = FakeHost([FOUND, WINDOW])
    result = roll_back(host, settings(toplevel=None), Context(), 6)
    assert (result["state"], host.asked[0].inputs["rollback_to"]) == ("window", "6")
    assert result["decides_by"]


def test_rollback_to_a_store_path() -> None:
    host = FakeHost([UNCHANGED])
    result = roll_back(host, settings(confirm=True), Context(), None)
    assert (result["state"], result["generation_to"], host.asked[0].inputs["rollback_to"]) == (
        "unchanged",
        None,
        "toplevel",
    )


def test_rollback_that_failed_is_not_confirmed() -> None:
    host = FakeHost([FOUND, ended(State.ROLLED_BACK)])
    assert roll_back(host, settings(toplevel=None, confirm=True), Context(), None)["state"] == "rolled-back"


def test_nothing_is_known_of_a_host_that_says_nothing() -> None:
    assert unchanged(settings(), Answer())["generation"] is None
