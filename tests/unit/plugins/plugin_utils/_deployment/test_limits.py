# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits, settings and how both come from a task's options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from unit.actions import options_of
from unit.settings import NEW, OLD, reboot_settings, settings

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import (
    HealthPolicy,
    LastResortReboot,
    OnRebootRequired,
    Refusal,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.limits import Limits
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.settings import (
    FreeSpace,
    Settings,
    Source,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

SECRET = {"name": "a", "path": "/run/secrets/a", "content": "x"}
LIMITS = Limits(health=1, check=2, activate=4, settle=8, confirm=None, commit=16, rollback=32, reboot=64)


@pytest.mark.parametrize("module", ["flake_deploy", "system_boot", "system_rollback", "system_test"])
def test_every_module_that_deploys_has_the_settings(module: str) -> None:
    given = {"toplevel": NEW, "limits": {"settle": 0}, "min_free_space": {"boot": 7}}
    made = Settings.from_options(options_of(module, **given))
    assert (made.toplevel, made.specialisation, made.limits.settle) == (NEW, "", 0)
    assert made.min_free_space == FreeSpace(nix=32, boot=7)
    assert (made.on_reboot_required, made.last_resort_reboot) == (OnRebootRequired.FAIL, LastResortReboot.AUTO)
    assert made.confirm == (module in ("flake_deploy", "system_rollback"))


def test_what_a_task_gives_is_what_is_set() -> None:
    made = settings(
        ignore_units=["a.service"],
        pre_activate_script="",
        post_activate_script="after",
        allow=["no_ssh"],
        confirm_hosts=["192.0.2.7"],
        flake=".",
        revision="abc",
        configuration="web1",
        nar_hash="sha256-x",
    )
    assert (made.ignore_units, made.allow, made.confirm_hosts) == (("a.service",), ("no_ssh",), ("192.0.2.7",))
    assert made.source == Source(".", "abc", "web1", "sha256-x")
    assert made.of(OLD) == replace(made, toplevel=OLD)
    assert made.of(OLD, Source()).source == Source()


def test_time_to_confirm_is_made_long_enough_for_a_fleet() -> None:
    assert LIMITS.for_deployment(0).confirm == 120
    assert LIMITS.for_deployment(3).confirm == 3 * (1 + 2 + 4 + 8) + 120
    assert replace(LIMITS, confirm=165).for_deployment(3).confirm == 165
    assert replace(LIMITS, confirm=5).for_deployment(0).confirm == 5
    with pytest.raises(HostError, match=r"needs 165 s \(3 batches of forks\)") as caught:
        replace(LIMITS, confirm=164).for_deployment(3)
    assert caught.value.reason == Refusal.BAD_LIMIT


def test_units_are_watched_until_they_are_quiet_where_no_time_is_given() -> None:
    unsaid = settings().limits
    assert (unsaid.settle, unsaid.watched, unsaid.as_inputs()["settle"]) == (None, 3, 3)
    assert (LIMITS.watched, LIMITS.as_inputs()["settle"]) == (8, 8)


@pytest.mark.parametrize(("name", "value", "good"), [("settle", 0, True), ("settle", -1, False), ("commit", 0, False)])
def test_limits_are_positive(name: str, value: int, good: bool) -> None:
    changed: dict[str, Any] = {name: value}
    limits = replace(LIMITS, **changed)
    if good:
        limits.for_deployment(0)
    else:
        with pytest.raises(HostError, match=f"'{name}' must be a positive number of seconds, and is {value}") as caught:
            limits.for_deployment(0)
        assert caught.value.reason == Refusal.BAD_LIMIT


def test_what_follows_from_the_limits() -> None:
    limits = LIMITS.for_deployment(0)
    # The window may be extended once, and the boot loader is written four times at most.
    assert limits.whole_run == 1 + 4 + 8 + 2 * (2 + 120) + 4 * 16 + 240
    assert limits.undo == 3 * 32 + 3 * 16 + 240
    assert limits.check_mode == 1 + 2 + 4 + 60
    assert limits.as_inputs()["confirm"] == 120
    assert "confirm" not in LIMITS.as_inputs()


def test_a_program_after_the_activation_takes_time() -> None:
    made = (
        Settings.from_options(options_of("system_test", toplevel=NEW, limits={"check": 7}, post_activate_script=name))
        for name in ("", "after")
    )
    without, limits = (one.limits.for_deployment(0) for one in made)
    assert limits.as_inputs() == without.as_inputs()
    assert (limits.whole_run - without.whole_run, limits.unconfirmed - without.unconfirmed) == (7, 7)
    assert (limits.with_time_to_confirm(0).confirm, limits.undo) == (without.confirm, without.undo)


def test_secrets_take_time_where_there_are_any() -> None:
    """To make them, put them in place, keep or put back, each with a sync; and for the units, all at once."""
    given = {"toplevel": NEW, "limits": {"commit": 16}}
    without, limits, same = (
        Settings.from_options(options_of("system_test", **given, **more)).limits.for_deployment(0)
        for more in ({}, {"remove_other_secrets": True}, {"secrets": [SECRET]})
    )
    assert (without.brings_secrets, limits.brings_secrets, limits) == (False, True, same)
    assert without.as_inputs()["secrets"] == limits.as_inputs()["secrets"] == 60 + 16
    assert limits.whole_run - without.whole_run == 7 * (60 + 16) + 120
    assert limits.undo - without.undo == 3 * (60 + 16) + 120
    assert limits.unconfirmed - without.unconfirmed == limits.confirmed - without.confirmed == 7 * (60 + 16) + 2 * 120


def test_commit_of_a_system_that_was_booted_once_has_nothing_to_activate() -> None:
    made = reboot_settings(toplevel=NEW, trial=True, ignore_units=["a.service"], limits={"commit": 7, "reboot": 9})
    commit = made.for_commit()
    assert (commit.toplevel, commit.ignore_units, commit.pre_activate_script) == (NEW, ("a.service",), "")
    assert (commit.health_policy, commit.on_reboot_required) == (HealthPolicy.NO_NEW_FAILURES, OnRebootRequired.BOOT)
    limits = commit.limits.for_deployment(0)
    assert (limits.settle, limits.confirm, limits.commit, limits.rollback, limits.reboot) == (0, 60, 7, 7, 9)
