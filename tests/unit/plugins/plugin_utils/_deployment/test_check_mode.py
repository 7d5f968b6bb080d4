# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a host answers in check mode to the return values."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import check_mode as foresight
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.connection import Host

OPTIONS = {"toplevel": "/nix/store/n-new", "min_free_space": {"nix": 32, "boot": 0}}
WELL = [("valid", "yes"), ("foreseen", "yes"), ("free_nix_kib", "65536")]
STOPS = ("dry_activation", "would stop the following units: a.service\n")


class Told:
    """A host, as far as it is warned about."""

    name = "web1"

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.told = ""

    def tell(self, text: str) -> None:
        self.told = text

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def foretold(*fields: tuple[str, str], mode: str = "test") -> dict[str, Any]:
    host = Told()
    result = foresight.result_of(cast(Host, host), OPTIONS, Answer([*WELL, *fields]), mode)
    assert host.warnings == result["notes"]
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
    said = "switch-to-configuration dry-activate exited 100"
    result = foretold(STOPS, ("needs_reboot", said))
    assert (result["state"], result["reboot_reasons"]) == ("would-boot", [said])
    assert not any(result["would"].values())
    # What was booted counts once it was in the way.
    was_booted = inhibitors({"dbus": "dbus"}, {"dbus": "dbus"}, {"dbus": "broker"})
    assert foretold(("needs_reboot", "inhibited"), *was_booted)["reboot_reasons"] == ["inhibitor dbus"]
    assert foretold(mode="boot")["reboot_reasons"] == ["boot-only"]


@pytest.mark.parametrize(
    ("fields", "reason", "says"),
    [
        ([("why", "units have failed already: a.service")], "would-refuse", "would refuse the new system"),
        ([("unclear", "dry-activate exited 1"), STOPS], "unclear", "does not say"),
        ([("why", "no"), ("journal", "a.service: boom"), ("said", "last word")], "would-refuse", "a.service: boom"),
    ],
)
def test_refusals_fail(fields: list[tuple[str, str]], reason: str, says: str) -> None:
    result = foretold(*fields)
    assert (result["failed"], result["changed"], result["state"]) == (True, False, "would-refuse")
    assert (result["reason"], result["would"]) == (reason, None)
    assert says in result["msg"]
    assert "nothing was changed" in result["msg"]


def test_unit_that_was_killed_is_no_success() -> None:
    host = Told()
    result = foresight.result_of(cast(Host, host), OPTIONS, Answer([("valid", "yes"), STOPS]), "test")
    assert (result["failed"], result["reason"], result["would"]) == (True, "unclear", None)


def test_system_that_is_not_there() -> None:
    host = Told()
    answer = Answer([("valid", "no"), ("free_nix_kib", "1024"), ("unfinished", "20260101T000000Z-1")])
    result = foresight.result_of(cast(Host, host), OPTIONS, answer, "test")
    assert "failed" not in result
    assert (result["state"], result["valid"], result["would"]) == ("would-test", False, None)
    assert not result["free_space"]["nix"]["enough"]
    for note, words in zip(result["notes"], ("was not built", "left unfinished", "1024 KiB free"), strict=True):
        assert words in note


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([STOPS], "would stop a.service; no reboot is needed; there is room"),
        ([], "would leave all units as they are; no reboot is needed; there is room"),
        (
            [("reboot_for", "kernel")],
            "would leave all units as they are; a reboot is needed: kernel; there is room",
        ),
        (
            [("dry_activation", "would stop swap device: /dev/sda2\n")],
            "would take away the swap device /dev/sda2; no reboot is needed; there is room",
        ),
        (
            [("free_boot_kib", "100"), ("boot_files_kib", "200")],
            "would leave all units as they are; no reboot is needed; there is NOT enough room on /boot",
        ),
        (
            [("needs_reboot", "exited 100")],
            (
                "would make the new system its boot default and activate nothing;"
                " a reboot is needed: exited 100; there is room"
            ),
        ),
        ([("why", "no")], ""),
    ],
)
def test_it_is_told_in_a_line(fields: list[tuple[str, str]], words: str) -> None:
    host = Told()
    foresight.result_of(cast(Host, host), OPTIONS, Answer([*WELL, *fields]), "test")
    assert host.told == words


def test_boot_partition_needs_the_kernel_or_what_was_asked_for() -> None:
    small = foretold(("free_boot_kib", "100"), ("boot_files_kib", "200"))["free_space"]["boot"]
    assert small == {"free_bytes": 100 << 10, "needed_bytes": 200 << 10, "enough": False}
    assert foretold(("free_boot_kib", "100"), ("boot_files_kib", "0"))["free_space"]["boot"]["enough"]
