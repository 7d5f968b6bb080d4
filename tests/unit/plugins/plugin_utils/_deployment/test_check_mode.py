# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a host answers in check mode to the return values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from unit.fake_host import FakeHost
from unit.settings import settings

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Mode, RebootBecause, ResultState, Why
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import check_mode
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer

SETTINGS = settings(min_free_space={"nix": 32, "boot": 0})
WELL = [("valid", "yes"), ("checked", "yes"), ("free_nix_kib", "65536")]
STOPS = ("dry_activation", "would stop the following units: a.service\n")
REFUSED = [("why", "units have failed already: a.service"), ("why_code", Why.UNITS_FAILED_BEFORE)]
STATUS_100 = [("needs_reboot", RebootBecause.STATUS_100), ("needs_reboot_text", "dry-activate exited 100")]
INHIBITED = [("needs_reboot", RebootBecause.INHIBITOR), ("needs_reboot_text", "inhibited")]


def foretold(*fields: tuple[str, str], mode: Mode = Mode.TEST) -> dict[str, Any]:
    host = FakeHost(name="web1")
    result = check_mode.result_of(host, SETTINGS, Answer([*WELL, *fields]), mode)
    assert host.warned == result["notes"]
    return result


def inhibitors(new: Any, current: Any, booted: Any = None) -> list[tuple[str, str]]:
    sides = {"new": new, "current": current, "booted": booted}
    return [(f"inhibitors_{name}", side if isinstance(side, str) else json.dumps(side)) for name, side in sides.items()]


def test_system_that_would_be_tested() -> None:
    result = foretold(STOPS)
    assert (result["state"], result["changed"], result["reboot_required"]) == ("would-test", True, False)
    assert result["would"]["stop"] == ["a.service"]
    assert result["free_space"] == {"nix": {"free_bytes": 64 << 20, "needed_bytes": 32 << 20, "enough": True}}


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ([("reboot_for", "initrd"), ("reboot_for", "kernel")], ["initrd", "kernel"]),
        (inhibitors({"dbus": "broker", "new": "1"}, {"dbus": "dbus"}), ["inhibitor dbus"]),
        (inhibitors({"dbus": "dbus"}, {"dbus": "dbus"}, {"dbus": "broker"}), []),
        # An older form than an object is one thing to compare.
        (inhibitors("dbus-broker-37\n", "dbus-1.16\n"), ["inhibitor switch-inhibitors"]),
        (inhibitors("", "{}"), []),
    ],
)
def test_reasons_for_a_reboot(fields: list[tuple[str, str]], reasons: list[str]) -> None:
    result = foretold(*fields)
    assert (result["reboot_reasons"], result["reboot_required"]) == (reasons, bool(reasons))


def test_what_needs_a_reboot_does_nothing_to_units() -> None:
    result = foretold(STOPS, *STATUS_100)
    assert (result["state"], result["reboot_reasons"]) == (ResultState.WOULD_BOOT, ["status-100"])
    assert not any(result["would"].values())
    # What was booted counts once it was in the way.
    was_booted = inhibitors({"dbus": "dbus"}, {"dbus": "dbus"}, {"dbus": "broker"})
    assert foretold(*INHIBITED, *was_booted)["reboot_reasons"] == ["inhibitor dbus"]
    assert foretold(mode=Mode.BOOT)["reboot_reasons"] == ["boot-only"]


@pytest.mark.parametrize(
    ("fields", "reason", "says"),
    [
        (REFUSED, Why.UNITS_FAILED_BEFORE, "would refuse the new system"),
        ([("why", "dry-activate exited 1"), ("why_code", Why.UNCLEAR), STOPS], Why.UNCLEAR, "could not find out"),
        ([*REFUSED, ("journal", "a.service: boom"), ("said", "last word")], Why.UNITS_FAILED_BEFORE, "a.service: boom"),
        ([*REFUSED, ("said", "last word")], Why.UNITS_FAILED_BEFORE, "(last 20 lines):\n  last word\n"),
    ],
)
def test_refusals_fail(fields: list[tuple[str, str]], reason: Why, says: str) -> None:
    result = foretold(*fields)
    assert (result["failed"], result["changed"], result["state"]) == (True, False, ResultState.WOULD_REFUSE)
    assert (result["reason"], result["would"]) == (reason, None)
    assert says in result["msg"]
    assert f"Why: {dict(fields)['why']}." in result["msg"]
    assert "nothing was changed" in result["msg"]


def test_refusal_for_a_reboot_says_how_to_allow_it() -> None:
    result = foretold(*STATUS_100, ("why", "x"), ("why_code", Why.REBOOT_REQUIRED))
    assert (result["reason"], result["reboot_reasons"]) == ("reboot-required", ["status-100"])
    assert "set on_reboot_required to 'boot' or 'boot_and_reboot' and check again" in result["msg"]
    assert "on_reboot_required" not in foretold(("why", "needs a reboot"), ("why_code", Why.NOT_UP))["msg"]


def test_unit_that_was_killed_is_no_success() -> None:
    result = check_mode.result_of(FakeHost(), SETTINGS, Answer([("valid", "yes"), STOPS]), Mode.TEST)
    assert (result["failed"], result["reason"], result["would"]) == (True, Why.UNCLEAR, None)
    assert "or was killed" in result["msg"]


def test_system_that_is_not_there() -> None:
    host = FakeHost()
    answer = Answer([("valid", "no"), ("free_nix_kib", "1024"), ("unfinished", "20260101T000000Z-1")])
    result = check_mode.result_of(host, SETTINGS, answer, Mode.TEST)
    assert "failed" not in result
    assert (result["state"], result["valid"], result["would"]) == (ResultState.WOULD_TEST, False, None)
    assert host.told == ["would try a system that was not built"]
    assert not result["free_space"]["nix"]["enough"]
    for note, words in zip(result["notes"], ("was not built", "left unfinished", "1024 KiB free"), strict=True):
        assert words in note


@pytest.mark.parametrize(("free", "enough"), [(32768, True), (32767, False)])
def test_just_as_much_as_is_needed_is_enough(free: int, enough: bool) -> None:
    space = check_mode.free_space(Answer([("free_nix_kib", str(free))]), SETTINGS)
    assert space == {"nix": {"free_bytes": free << 10, "needed_bytes": 32 << 20, "enough": enough}}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([STOPS], "would stop a.service; no reboot is needed; there is enough free space"),
        ([], "would leave all units as they are; no reboot is needed; there is enough free space"),
        (
            [("reboot_for", "kernel")],
            "would leave all units as they are; a reboot is needed: kernel; there is enough free space",
        ),
        (
            [("dry_activation", "would stop swap device: /dev/sda2\n")],
            "would turn off the swap device /dev/sda2; no reboot is needed; there is enough free space",
        ),
        (
            [("free_boot_kib", "100"), ("boot_files_kib", "200")],
            "would leave all units as they are; no reboot is needed; there is NOT enough free space on /boot",
        ),
        (
            STATUS_100,
            (
                "would make the new system its boot default and activate nothing;"
                " a reboot is needed: what switch-to-configuration found (status 100); there is enough free space"
            ),
        ),
        (
            [("dry_activation", "would restart systemd\n")],
            "would restart systemd; no reboot is needed; there is enough free space",
        ),
    ],
)
def test_it_is_told_in_a_line(fields: list[tuple[str, str]], words: str) -> None:
    host = FakeHost()
    check_mode.result_of(host, SETTINGS, Answer([*WELL, *fields]), Mode.TEST)
    assert host.told == [words]


def test_refusal_is_told_by_the_failure_alone() -> None:
    host = FakeHost()
    check_mode.result_of(host, SETTINGS, Answer([*WELL, *REFUSED]), Mode.TEST)
    assert host.told == []


def test_boot_partition_needs_the_kernel_or_what_was_asked_for() -> None:
    small = foretold(("free_boot_kib", "100"), ("boot_files_kib", "200"))["free_space"]["boot"]
    assert small == {"free_bytes": 100 << 10, "needed_bytes": 200 << 10, "enough": False}
    assert foretold(("free_boot_kib", "100"), ("boot_files_kib", "0"))["free_space"]["boot"]["enough"]
