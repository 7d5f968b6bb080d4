# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A system that is booted once: from the preparation to the boot default, or back."""

from __future__ import annotations

import itertools
import json
import shlex
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.fake_host import Clock, FakeHost, Scripted, answered
from unit.settings import NEW, OLD, reboot_settings

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal, State
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import trial, wait_while_busy
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.trial import Trial, TrialError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection, reboot
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError, HostLostError

BEFORE = {"boot_id": "one", "booted": OLD, "current": OLD, "boot_default": OLD, "manager": "running"}
AFTER = {"boot_id": "two", "booted": NEW, "current": NEW, "boot_default": OLD, "manager": "running"}
BACK = {"boot_id": "three", "booted": OLD, "current": OLD, "boot_default": OLD, "manager": "running"}
LOOKED = {"valid": "yes", "new_live": NEW, "previous_live": NEW, "previous_boot": OLD, "boot_id": "two"}
PREPARED = {"generation": "8", "entry": "e", "returns": "no"}
AWAY = AnsibleConnectionFailure("Connection refused")
NOTHING: dict[str, str] = {"end": "yes"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (trial, wait_while_busy, reboot, connection):
        monkeypatch.setattr(module, "time", clock)
    return clock


def ended(state: State) -> dict[str, str]:
    record = {"outcome": state, "live": NEW, "boot": NEW, "to": NEW, "to_live": NEW, "generation": "8", "notes": "n"}
    return {"state": state, "record": json.dumps(record | {"why": "x", "why_code": "boot-loader"})}


def tried(
    *answers: Scripted,
    clock: Clock | None = None,
    before: dict[str, str] | None = None,
    check_mode: bool = False,
    **given: Any,
) -> tuple[FakeHost, dict[str, Any]]:
    host = FakeHost(answers, clock=clock)
    settings = reboot_settings(toplevel=NEW, trial=True, limits={"reboot": 60, "commit": 10}, **given)
    result = Trial(host, settings, answered(before or BEFORE)).run(check_mode)
    assert host.done()
    return host, result


def failed(*answers: Scripted, **given: Any) -> TrialError:
    with pytest.raises(TrialError) as caught:
        tried(*answers, **given)
    return caught.value


def steps(host: FakeHost) -> list[str]:
    """What it was asked to do, with the step of the trial."""
    return [each.inputs.get("step", each.command) for each in host.asked]


def test_system_that_comes_up_well_is_kept() -> None:
    earlier = PREPARED | {"earlier": "x"}
    host, result = tried(
        LOOKED, earlier, BEFORE, AFTER, LOOKED, {"state": "confirmed"}, ended(State.COMMITTED), NOTHING
    )
    assert steps(host) == ["preflight", "prepare", "reboot", "reboot", "preflight", "start", "poll", "end"]
    assert (result["state"], result["rebooted"], result["changed"]) == ("committed", True, True)
    assert (result["booted_system"], result["boot_default"], result["generation"]) == (NEW, NEW, 8)
    assert result["notes"] == ["an earlier trial: x", "n"]
    prepare = host.asked[1].inputs
    values = dict(word.split("=", 1) for word in shlex.split(prepare["settings"]))
    assert (values["commit_limit"], values["host_limit"], values["keep_limit"]) == ("10", "80", "90")
    assert values["pre_activate_script"] == "pre-activate-safety-checks"
    assert prepare["time_limit"] == values["prepare_limit"] == "180"
    # What confirms it came over a fresh connection.
    assert host.connections == ["soon", "fresh"]
    assert host.asked[2].inputs["trying"] == NEW


def test_check_mode_changes_nothing() -> None:
    host, result = tried(LOOKED, NOTHING, check_mode=True)
    assert (steps(host), result["state"]) == (["preflight", "look"], "would-try")
    assert [each.command for each in host.asked] == ["preflight", "trial"]
    host, result = tried(LOOKED, check_mode=True, before=AFTER)
    assert result["state"] == "would-try"
    assert host.told == [f"would check {NEW}, which it has booted once, and make it the boot default"]


def test_system_that_is_the_boot_default_already() -> None:
    assert tried(before=AFTER | {"boot_default": NEW})[1] == {"state": "unchanged"}
    with pytest.raises(HostError) as caught:
        tried(before=BEFORE | {"boot_default": NEW})
    assert caught.value.reason == Refusal.IS_DEFAULT


def test_system_that_was_booted_once_before_is_only_kept() -> None:
    answers = [LOOKED, AFTER, LOOKED, {"state": "confirmed"}, ended(State.COMMITTED), NOTHING]
    host, result = tried(*answers, before=AFTER)
    assert "prepare" not in steps(host)
    assert (result["state"], "rebooted" in result) == ("committed", False)


def test_what_had_failed_in_the_system_that_is_tried_is_no_excuse() -> None:
    unwell = AFTER | {"failed_unit": "a.service"}
    policy: dict[str, Any] = {"health_policy": "no_new_failures", "revert": False}
    error = failed(LOOKED, unwell, NOTHING, before=unwell, **policy)
    assert (error.reason, error.result["state"]) == (Refusal.UNHEALTHY, "unconfirmed")
    before = BEFORE | {"failed_unit": "a.service"}
    committed = [LOOKED, {"state": "confirmed"}, ended(State.COMMITTED), NOTHING]
    _host, result = tried(LOOKED, PREPARED, BEFORE, unwell, *committed, before=before, **policy)
    assert result["failed_units"] == ["a.service"]


def test_system_that_is_not_well_is_left_by_a_reboot() -> None:
    unwell = AFTER | {"failed_unit": "a.service"}
    error = failed(LOOKED, PREPARED, BEFORE, unwell, NOTHING, AFTER, BACK, NOTHING | {"why": "x"})
    assert (error.reason, error.result["state"], error.result["system"]) == (Refusal.UNHEALTHY, "reverted", OLD)
    assert "The new system says that x." in str(error)
    assert f"runs {OLD}, and its boot default is {OLD}, as before" in str(error)


def test_system_that_does_not_come_up() -> None:
    """The host has booted its boot default instead."""
    error = failed(LOOKED, PREPARED, BEFORE, BACK, NOTHING)
    assert (error.reason, error.result["state"]) == (Refusal.OTHER_SYSTEM, "reverted")


def test_host_that_cannot_be_reached(clock: Clock) -> None:
    error = failed(LOOKED, PREPARED, BEFORE, *[AWAY] * 37, clock=clock)
    assert (error.reason, error.result) == (Refusal.NOT_BACK, {"state": "unknown", "changed": True, "notes": []})
    assert f"a power cycle boots {OLD} (Connection refused)" in str(error)
    assert "by itself" not in str(error)


def test_host_that_rolls_back_by_itself(clock: Clock) -> None:
    returns = PREPARED | {"returns": "yes"}
    away = [AWAY] * 60
    error = failed(LOOKED, returns, BEFORE, *away, BACK, NOTHING, clock=clock)
    assert (error.reason, error.result["state"]) == (Refusal.OTHER_SYSTEM, "reverted")


@pytest.mark.parametrize(("limit", "boots"), [(60, 120), (600, 600)])
def test_host_that_should_have_rolled_back_by_itself(clock: Clock, limit: int, boots: int) -> None:
    host = FakeHost([LOOKED, PREPARED | {"returns": "yes"}, BEFORE, *itertools.repeat(AWAY, 5000)], clock=clock)
    settings = reboot_settings(toplevel=NEW, trial=True, limits={"reboot": limit, "commit": 10})
    began = clock.now
    with pytest.raises(TrialError, match="nor has it rolled back by itself") as caught:
        Trial(host, settings, answered(BEFORE)).run(check_mode=False)
    assert caught.value.reason == Refusal.NOT_BACK
    # Its own limit, 20 s for the commit to begin, and what boots may take.
    assert 0 <= clock.now - began - (limit + 20 + boots) < 10


def test_host_that_cannot_begin_to_reboot() -> None:
    refusal = {"refused": "no-reboot", "message": "x"}
    host = FakeHost([LOOKED, PREPARED, refusal, NOTHING])
    with pytest.raises(HostError) as caught:
        Trial(host, reboot_settings(toplevel=NEW, trial=True), answered(BEFORE)).run(check_mode=False)
    assert (caught.value.reason, steps(host)[-1]) == (Refusal.NO_REBOOT, "failed")


def test_preparation_that_is_refused() -> None:
    with pytest.raises(HostError) as caught:
        tried(LOOKED, {"refused": "no-one-shot", "message": "x"})
    assert caught.value.reason == Refusal.NO_ONE_SHOT


def test_system_that_is_well_and_cannot_be_kept() -> None:
    refusal = {"refused": "busy", "message": "x"}
    answers = [LOOKED, PREPARED, BEFORE, AFTER, refusal, NOTHING, AFTER, BACK, NOTHING]
    error = failed(*answers, lock_timeout=0)
    assert (error.reason, error.result["state"]) == (Refusal.BUSY, "reverted")
    answers[4] = {"unchanged": "yes", "generation": "8"}
    assert failed(*answers).reason == Refusal.IS_DEFAULT


@pytest.mark.parametrize(
    ("state", "ends", "left"),
    [
        (State.ROLLED_BACK, [NOTHING, AFTER, BACK, NOTHING], "reverted"),
        # What it would boot is not known, so it stays up.
        (State.COMMIT_FAILED, [], "unconfirmed"),
    ],
)
def test_commit_that_fails(state: State, ends: list[Scripted], left: str) -> None:
    error = failed(LOOKED, PREPARED, BEFORE, AFTER, LOOKED, ended(state), *ends)
    assert (error.reason, error.result["state"]) == ("boot-loader", left)


def test_host_that_is_lost_while_it_commits(clock: Clock) -> None:
    host = FakeHost([LOOKED, PREPARED, BEFORE, AFTER, *itertools.repeat(AWAY, 1000)], clock=clock)
    with pytest.raises(HostLostError):
        Trial(host, reboot_settings(toplevel=NEW, trial=True), answered(BEFORE)).run(check_mode=False)


def test_host_that_does_not_come_back_from_a_system_that_is_not_well(clock: Clock) -> None:
    unwell = AFTER | {"failed_unit": "a.service"}
    host = FakeHost([LOOKED, PREPARED, BEFORE, unwell, NOTHING, AFTER, *itertools.repeat(AWAY, 1000)], clock=clock)
    settings = reboot_settings(toplevel=NEW, trial=True, limits={"reboot": 60})
    with pytest.raises(TrialError, match=f"It was told to reboot into {OLD}, and") as caught:
        Trial(host, settings, answered(BEFORE)).run(check_mode=False)
    assert (caught.value.reason, caught.value.result["state"]) == (Refusal.UNHEALTHY, "unknown")


def test_what_cannot_be_tidied_up_is_a_note() -> None:
    committed = [LOOKED, {"state": "confirmed"}, ended(State.COMMITTED)]
    _host, result = tried(LOOKED, PREPARED, BEFORE, AFTER, *committed, HostError("x", Refusal.NO_SPACE))
    assert result["notes"][0] == "what is left of the trial could not be removed: x"
    _host, result = tried(LOOKED, PREPARED, BEFORE, AFTER, *committed, {"entries": "y"})
    assert result["notes"][0] == "y"
