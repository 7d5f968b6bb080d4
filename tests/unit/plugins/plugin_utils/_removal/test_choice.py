# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which generations go and which stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._removal.choice import DAY, Kept, choose
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status.generations import Generation

NOW = 100 * DAY
# One each day, the last of them today.
TEN = [Generation(number, NOW - (10 - number) * DAY, f"/nix/store/{number}") for number in range(1, 11)]


def gone(protected: dict[str, Kept], current: int | None, keep: int | None, days: int | None) -> list[int]:
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
    choice = choose(TEN, {"/nix/store/2": Kept.CURRENT, "/nix/store/4": Kept.BOOTED}, 7, NOW, 1, None)
    assert [(one.number, why) for one, why in choice.kept] == [
        (2, (Kept.CURRENT,)),
        (4, (Kept.BOOTED,)),
        (7, (Kept.BOOT_DEFAULT,)),
        (10, (Kept.NEWEST,)),
    ]


def test_parent_of_a_specialisation_that_runs_stays() -> None:
    parent = Generation(1, 0, "/nix/store/p", specialisations={"debug": "/nix/store/d"})
    choice = choose([parent, *TEN], {"/nix/store/d": Kept.CURRENT}, 10, NOW, 0, None)
    assert choice.kept[0] == (parent, (Kept.CURRENT,))


@given(st.sets(st.integers(1, 10)), st.integers(1, 10), st.none() | st.integers(0, 12), st.none() | st.integers(0, 12))
def test_nothing_that_is_needed_ever_goes(needed: set[int], current: int, keep: int | None, days: int | None) -> None:
    removed = set(gone({f"/nix/store/{number}": Kept.TRIAL for number in needed}, current, keep, days))
    assert not removed & (needed | {current})
    assert not removed & set(range(11 - (keep or 0), 11))
