# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reboot for the operator: when it is done, when it is waited for, and when it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from unit.fake_host import Clock, FakeHost, Scripted
from unit.settings import NEW, OLD, reboot_settings

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import system_reboot
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.context import Context
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.system_reboot import reboot_or_try
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import reboot
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

BEFORE = {"boot_id": "one", "booted": OLD, "current": NEW, "boot_default": NEW, "manager": "running"}
NEEDED = BEFORE | {"reboot_for": ["kernel", "initrd"]}
AFTER = {"boot_id": "two", "booted": NEW, "current": NEW, "boot_default": NEW, "manager": "running"}
IN_PROGRESS = BEFORE | {"blocked": "in-progress", "blocked_text": "x"}
UNFINISHED = BEFORE | {"blocked": "unfinished", "blocked_text": "a deployment is at work on it"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (system_reboot, reboot):
        monkeypatch.setattr(module, "time", clock)
    return clock


def done(*answers: Scripted, check_mode: bool = False, **given: Any) -> tuple[FakeHost, dict[str, Any]]:
    host = FakeHost(answers)
    return host, reboot_or_try(host, reboot_settings(**given), Context(check_mode))


def refused(*answers: Scripted, **given: Any) -> HostError:
    with pytest.raises(HostError) as caught:
        done(*answers, **given)
    return caught.value


def test_host_is_rebooted() -> None:
    host, result = done(NEEDED, BEFORE, AFTER)
    assert result == {
        "rebooted": True,
        "reboot_reasons": ["kernel", "initrd"],
        "previous_system": OLD,
        "changed": True,
        "booted_system": NEW,
        "system": NEW,
        "boot_default": NEW,
        "failed_units": [],
        "state": "rebooted",
        "elapsed": result["elapsed"],
    }
    assert host.done()


@pytest.mark.parametrize(("look", "state"), [(BEFORE, "not-needed"), (NEEDED, "rebooted")])
def test_host_is_rebooted_only_if_that_is_needed(look: Scripted, state: str) -> None:
    answers = [look, BEFORE, AFTER] if state == "rebooted" else [look]
    host, result = done(*answers, only_if_needed=True)
    assert (result["state"], result["changed"], host.done()) == (state, state == "rebooted", True)


def test_check_mode_reboots_nothing() -> None:
    host, result = done(NEEDED, check_mode=True, toplevel=NEW)
    assert (result["state"], result["changed"], result["rebooted"]) == ("would-reboot", True, False)
    assert host.told == [f"would reboot into {NEW}, needed for kernel, initrd"]
    assert host.asked[0].inputs["toplevel"] == NEW


def test_deployment_in_progress_is_waited_for() -> None:
    host, result = done(IN_PROGRESS, IN_PROGRESS, IN_PROGRESS | {"blocked_text": "y"}, BEFORE, BEFORE, AFTER)
    assert result["state"] == "rebooted"
    assert host.told[:2] == ["waits up to 300 s: x", "waits up to 300 s: y"]


def test_deployment_that_stays_in_progress_is_not_waited_for_ever(clock: Clock) -> None:
    began = clock.now
    error = refused(*[IN_PROGRESS] * 100, lock_timeout=10)
    assert (error.reason, clock.now - began) == (Refusal.BUSY, 10)


def test_unfinished_deployment_is_not_waited_for_whatever_the_words(clock: Clock) -> None:
    began = clock.now
    error = refused(UNFINISHED)
    assert (error.reason, clock.now) == (Refusal.BUSY, began)
    assert "is not rebooted: a deployment is at work on it" in str(error)


@pytest.mark.parametrize(
    ("answers", "given", "reason"),
    [
        ([], {"toplevel": "/etc"}, Refusal.NOT_A_STORE_PATH),
        ([BEFORE], {"toplevel": OLD}, Refusal.NOT_DEFAULT),
        ([BEFORE | {"boot_default": ""}], {"toplevel": NEW}, Refusal.NOT_DEFAULT),
        ([BEFORE, BEFORE, AFTER | {"booted": OLD}], {}, Refusal.OTHER_SYSTEM),
        ([BEFORE, BEFORE, AFTER | {"failed_unit": ["a.service"]}], {}, Refusal.UNHEALTHY),
    ],
)
def test_refusals_and_failures(answers: list[Scripted], given: dict[str, Any], reason: Refusal) -> None:
    assert refused(*answers, **given).reason == reason


def test_units_that_had_failed_before() -> None:
    failed = {"failed_unit": "a.service"}
    given: dict[str, Any] = {"health_policy": "no_new_failures", "ignore_units": ["b.*"]}
    _host, result = done(BEFORE | failed, BEFORE, {**AFTER, "failed_unit": ["a.service", "b.service"]}, **given)
    assert result["failed_units"] == ["a.service", "b.service"]


def test_system_that_is_to_be_booted_once() -> None:
    """What the host is and needs is told in any case."""
    _host, result = done(BEFORE | {"booted": NEW}, trial=True, toplevel=NEW)
    assert (result["state"], result["rebooted"], result["boot_default"]) == ("unchanged", False, NEW)
