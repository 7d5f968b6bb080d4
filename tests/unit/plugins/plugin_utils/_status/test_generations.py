# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which generations go and which stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status import generations
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status.generations import DAY, Generation, choose

NOW = 100 * DAY
# One each day, the last of them today.
TEN = [Generation(number, NOW - (10 - number) * DAY, f"/nix/store/{number}") for number in range(1, 11)]


def gone(protected: dict[str, str], current: int | None, keep: int | None, days: int | None) -> list[int]:
    return [one.number for one in choose(TEN, protected, current, NOW, keep, days).removed]


@pytest.mark.parametrize(
    ("keep", "days", "removed"),
    [
        (3, None, [1, 2, 3, 4, 5, 6, 7]),
        (None, 8, [1, 2]),
        (3, 8, [1, 2]),
        (9, 2, [1]),
        (0, None, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (0, 0, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (100, None, []),
        (None, None, []),
    ],
)
def test_count_and_age(keep: int | None, days: int | None, removed: list[int]) -> None:
    assert gone({}, 10, keep, days) == removed


def test_what_is_needed_stays_and_says_why() -> None:
    choice = choose(TEN, {"/nix/store/2": "current", "/nix/store/4": "booted"}, 7, NOW, 1, None)
    assert [(one.number, why) for one, why in choice.kept] == [
        (2, ("current",)),
        (4, ("booted",)),
        (7, ("boot default",)),
        (10, ("newest",)),
    ]


def test_parent_of_a_specialisation_that_runs_stays() -> None:
    parent = Generation(1, 0, "/nix/store/p", specialisations={"debug": "/nix/store/d"})
    choice = choose([parent, *TEN], {"/nix/store/d": "current"}, 10, NOW, 0, None)
    assert choice.kept[0] == (parent, ("current",))


@given(st.sets(st.integers(1, 10)), st.integers(1, 10), st.none() | st.integers(0, 12), st.none() | st.integers(0, 12))
def test_nothing_that_is_needed_ever_goes(needed: set[int], current: int, keep: int | None, days: int | None) -> None:
    removed = set(gone({f"/nix/store/{number}": "why" for number in needed}, current, keep, days))
    assert not removed & (needed | {current})
    assert not removed & set(range(11 - (keep or 0), 11))


def test_the_hosts_answer_is_read() -> None:
    ten = "10 1767225600\n/nix/store/b\n6.12.1\n25.11\n/nix/store/d with space\n/nix/store/e debug"
    answer = Answer([("generation_of", ten), ("generation_of", "9 0\n/nix/store/a\n\n")])
    nine, found = generations.read(answer)
    assert (nine.number, nine.kernel, nine.nixos_version, nine.systems) == (9, "", "", ("/nix/store/a",))
    assert found.as_value() == {
        "generation": 10,
        "date": "2026-01-01T00:00:00+00:00",
        "system": "/nix/store/b",
        "kernel_version": "6.12.1",
        "nixos_version": "25.11",
        "specialisations": ["debug", "with space"],
    }
    assert generations.specialisation_of("/nix/store/e", [nine, found], "") == ("debug", "/nix/store/b")
    assert generations.specialisation_of("/nix/store/a", [nine, found], "") == ("", "")
    assert generations.specialisation_of("/nix/store/x", [nine, found], "") == ("", "")


def test_specialisation_of_the_boot_default_comes_first() -> None:
    same = {"debug": "/nix/store/d"}
    found = [Generation(number, 0, f"/nix/store/p{number}", specialisations=same) for number in (1, 2, 3)]
    assert generations.specialisation_of("/nix/store/d", found, "/nix/store/p2")[1] == "/nix/store/p2"
    assert generations.specialisation_of("/nix/store/d", found, "")[1] == "/nix/store/p3"


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("deleting '/nix/store/a'\n12 store paths deleted, 3.50 MiB freed\n", (12, 3670016)),
        ("1 store path deleted, 1.0 KiB freed", (1, 1024)),
        ("0 store paths deleted, 0.00 MiB freed", (0, 0)),
        ("7 store paths deleted, 2 GiB freed", (7, 2 << 30)),
        ("error: interrupted", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_what_the_garbage_collector_says(log: str, found: tuple[int, int]) -> None:
    assert generations.freed(log) == found
