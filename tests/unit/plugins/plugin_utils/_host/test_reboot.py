# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reboot, from the order to the host that is up again; and what counts as well."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from unit.fake_host import Clock, FakeHost, Scripted, answered
from unit.settings import NEW, OLD

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import HealthPolicy, MayReboot, Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import reboot
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

BEFORE = {"boot_id": "one", "booted": OLD, "current": OLD, "boot_default": NEW, "manager": "running"}
AFTER = {"boot_id": "two", "booted": NEW, "current": NEW, "boot_default": NEW, "manager": "running"}
AWAY = AnsibleConnectionFailure("Connection refused")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reboot, "time", clock)
    return clock


def rebooted(clock: Clock, *answers: Scripted, limit: float = 60, **given: Any) -> tuple[FakeHost, Any]:
    host = FakeHost(answers, clock=clock)
    return host, reboot.reboot_and_wait(host, answered(BEFORE), NEW, limit, **given)


def test_host_is_told_once_and_waited_for(clock: Clock) -> None:
    starting = AFTER | {"manager": "starting", "jobs": "a.service "}
    host, answer = rebooted(clock, BEFORE, BEFORE, AWAY, starting, AFTER)
    assert (answer.get("booted"), host.done()) == (NEW, True)
    assert [each.inputs["may_reboot"] for each in host.asked] == ["yes", "no", "no", "no", "no"]
    assert {each.inputs["boot_id"] for each in host.asked} == {"one"}
    assert host.told[0] == "reboots"
    # Over a new connection each time.
    assert host.resets == 4


def test_host_that_may_not_have_heard_is_told_again(clock: Clock) -> None:
    host, _answer = rebooted(clock, AWAY, AWAY, BEFORE, AFTER, may_reboot=MayReboot.AFTER_COMMIT, trying=NEW)
    assert {each.inputs["may_reboot"] for each in host.asked} == {"after-commit"}
    assert {each.inputs["trying"] for each in host.asked} == {NEW}


@pytest.mark.parametrize(
    "error", [HostError("no answer", Refusal.NO_ANSWER), AnsibleError("Incorrect sudo password")], ids=["cut", "sudo"]
)
def test_script_that_the_reboot_ends_is_no_failure(clock: Clock, error: Exception) -> None:
    host, answer = rebooted(clock, error, error, AFTER)
    assert (answer.get("booted"), host.done()) == (NEW, True)


def test_host_that_refuses_is_not_waited_for(clock: Clock) -> None:
    with pytest.raises(HostError) as caught:
        rebooted(clock, {"refused": "busy", "message": "is not rebooted: x"})
    assert caught.value.reason == Refusal.BUSY


def test_other_addresses_are_tried_in_turn(clock: Clock) -> None:
    host, _answer = rebooted(clock, AWAY, AWAY, AWAY, AWAY, AFTER, addresses=["192.0.2.7", "192.0.2.1"])
    assert host.connections == ["soon", "192.0.2.7", "192.0.2.1", "192.0.2.7"]


def test_host_that_does_not_come_back(clock: Clock) -> None:
    began = clock.now
    with pytest.raises(reboot.NotBackError, match="a power cycle boots") as caught:
        rebooted(clock, BEFORE, *itertools.repeat(AWAY, 100))
    assert (caught.value.reason, caught.value.said) == (Refusal.NOT_BACK, "Connection refused")
    assert NEW in str(caught.value)
    assert 60 <= clock.now - began < 63


def test_host_that_never_went_away_is_not_back(clock: Clock) -> None:
    with pytest.raises(reboot.NotBackError, match="it answers, and is stopping"):
        rebooted(clock, BEFORE, *itertools.repeat(BEFORE | {"manager": "stopping"}, 100))


def test_what_a_login_says_while_the_host_starts_is_no_answer(clock: Clock) -> None:
    _host, answer = rebooted(clock, BEFORE, HostError("no answer", Refusal.NO_ANSWER), AFTER)
    assert answer.get("boot_id") == "two"


def test_host_that_has_not_finished_starting(clock: Clock) -> None:
    starting = AFTER | {"manager": "starting", "jobs": "slow.service "}
    _host, answer = rebooted(clock, BEFORE, *itertools.repeat(starting, 100))
    with pytest.raises(HostError, match=r"is-system-running says starting; still starting: slow\.service") as caught:
        reboot.require_up(FakeHost(), answer, 60)
    assert caught.value.reason == Refusal.NOT_UP
    reboot.require_up(FakeHost(), answered(AFTER | {"manager": "degraded"}), 60)


def test_never_asked(clock: Clock) -> None:
    assert reboot.wait_until_up(FakeHost(), "one", 0) == (None, "it was never asked")


def test_reboot_after_a_commit(clock: Clock) -> None:
    host = FakeHost([BEFORE, BEFORE, AFTER], clock=clock)
    reboot.reboot_after_commit(host, NEW, 60)
    assert [each.inputs["may_reboot"] for each in host.asked] == ["no", "after-commit", "no"]
    assert host.told[-1] == "has rebooted into the new system"
    with pytest.raises(HostError, match="not /nix/store/1") as caught:
        reboot.reboot_after_commit(FakeHost([BEFORE, BEFORE, AFTER | {"booted": OLD}], clock=clock), NEW, 60)
    assert caught.value.reason == Refusal.OTHER_SYSTEM


@pytest.mark.parametrize(
    ("policy", "ignored", "counted"),
    [
        (HealthPolicy.STRICT, ["backup-*"], ["old.service", "web.service"]),
        (HealthPolicy.NO_NEW_FAILURES, ["backup-*"], ["web.service"]),
        (HealthPolicy.NO_NEW_FAILURES, ["*"], []),
    ],
)
def test_failed_units(policy: HealthPolicy, ignored: Iterable[str], counted: list[str]) -> None:
    failed = ["old.service", "backup-1.service", "web.service"]
    now = answered(AFTER | {"failed_unit": failed, "journal": "web.service: boom"})
    before = answered({"failed_unit": ["old.service"]})
    assert reboot.failed_units(now, policy, list(ignored), before) == counted
    if counted:
        with pytest.raises(HostError, match="boom") as caught:
            reboot.require_health(FakeHost(), now, policy, list(ignored), before)
        assert caught.value.reason == Refusal.UNHEALTHY
        assert " ".join(counted) in str(caught.value)
    else:
        reboot.require_health(FakeHost(), now, policy, list(ignored), before)


@pytest.mark.parametrize(
    ("policy", "restarted", "loop", "counts"),
    [
        (HealthPolicy.STRICT, "", "again", True),
        (HealthPolicy.STRICT, "", "failing", True),
        (HealthPolicy.STRICT, "", "recurring", True),
        # It is meant to end and to be started again.
        (HealthPolicy.STRICT, "recurring", "recurring", False),
        (HealthPolicy.STRICT, "lately", "again", False),
        (HealthPolicy.STRICT, "recurring", "failing", True),
        (HealthPolicy.STRICT, "failing", "again", True),
        (HealthPolicy.NO_NEW_FAILURES, "failing", "failing", False),
        (HealthPolicy.NO_NEW_FAILURES, "lately", "failing", False),
        (HealthPolicy.NO_NEW_FAILURES, "", "again", True),
    ],
)
def test_services_that_are_started_again_and_again(
    policy: HealthPolicy, restarted: str, loop: str, counts: bool
) -> None:
    before = answered({"restarted_unit": [f"a.service {restarted}"]} if restarted else {})
    now = answered(AFTER | {"loop_unit": [f"a.service {loop}"], "failed_unit": ["b.service"]})
    assert reboot.failed_units(now, policy, ["b.*"], before) == (["a.service"] if counts else [])
    assert reboot.failed_units(now, policy, ["*"], before) == []
    assert reboot.facts(now)["failed_units"] == ["b.service", *([] if loop == "recurring" else ["a.service"])]
    with pytest.raises(HostError) as caught:
        reboot.require_health(FakeHost(), now, policy, [], before)
    said = "units have failed: b.service" + (
        ", and services end and are started again and again: a.service" if counts else ""
    )
    assert str(caught.value).endswith(said)


def test_unit_that_looped_before_and_was_given_up() -> None:
    """It has not failed anew."""
    before = answered({"restarted_unit": ["a.service failing"]})
    now = answered(AFTER | {"failed_unit": ["a.service"]})
    assert reboot.failed_units(now, HealthPolicy.NO_NEW_FAILURES, [], before) == []
    assert reboot.failed_units(now, HealthPolicy.STRICT, [], before) == ["a.service"]


def test_services_are_watched_for_a_while_after_the_reboot(clock: Clock) -> None:
    host, _answer = rebooted(clock, BEFORE, AFTER, settle=4)
    assert [each.inputs["settle"] for each in host.asked] == ["0", "4"]


def test_a_look_as_return_values() -> None:
    assert reboot.facts(answered(AFTER | {"failed_unit": ["a.service"]})) == {
        "booted_system": NEW,
        "system": NEW,
        "boot_default": NEW,
        "failed_units": ["a.service"],
    }
