# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a seed of the randomised test decides, and what its figures count."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from integration.soak_choice import (
    BEGINNINGS,
    BOOT_ONLY,
    DECK,
    FLEET,
    LOADERS,
    PLAIN,
    SPECIALISATION,
    WAYS,
    Choice,
    dealt,
)
from integration.soak_faults import FAULTS, THEIR_SYSTEM, UNAVOIDABLE
from integration.soak_figures import NAMES, Figures
from integration.soak_scene import STATES
from integration.soak_systems import BAD, GOOD, SYSTEMS
from integration.soak_systems_by_hand import BOOT_LOST, Flake

MANY = range(1, 301)


def told(choice: Choice) -> tuple[object, ...]:
    """All that is decided, and what the seed draws next."""
    shown = {name: value for name, value in vars(choice).items() if name != "random"}
    return (*shown.items(), choice.random.random())


@pytest.mark.parametrize("two", [False, True])
def test_a_seed_depends_on_its_number_alone(two: bool) -> None:
    first = [told(Choice.of(seed, two)) for seed in MANY]
    assert [told(Choice.of(seed, two)) for seed in reversed(MANY)] == first[::-1]
    assert len({str(choice) for choice in first}) > 290


def test_what_every_seed_decides_stays_what_it_was() -> None:
    """A note of a seed that was lost is worth something later: shuffles are the same on every Python."""
    assert dealt("abcdefgh", 3, "letter") == "b"
    assert [dealt("abc", seed, "letter") for seed in range(9)] == list("cbacabacb")


def test_300_seeds_meet_each_fault_a_few_times() -> None:
    choices = [Choice.of(seed) for seed in MANY]
    faults = Counter(choice.fault for choice in choices)
    assert min(faults[fault] for fault in FAULTS) >= 4
    systems = Counter(choice.configuration for choice in choices)
    assert min(systems[system] for system in SYSTEMS) >= 1
    for deck, met in (
        (BEGINNINGS, Counter(choice.beginning for choice in choices)),
        (LOADERS, Counter(choice.loader for choice in choices)),
        (WAYS, Counter(choice.way for choice in choices)),
    ):
        assert min(met[card] for card in deck) >= 4, met
    assert 60 < sum(choice.cut_power for choice in choices) < 200
    assert 30 < sum(choice.deploy_first for choice in choices) < 120


def test_what_is_dealt_together_goes_together() -> None:
    for seed in range(2000):
        choice = Choice.of(seed, two=seed % 2 == 0)
        fault = FAULTS[choice.fault]
        assert fault.way in ("", choice.way)
        assert choice.configuration not in BAD or not fault.only_good
        assert choice.way != BOOT_ONLY or choice.configuration in GOOD
        assert choice.way != SPECIALISATION or choice.configuration == ""
        assert choice.way not in (BOOT_ONLY, SPECIALISATION, FLEET) or choice.beginning == PLAIN
        assert choice.moment.state in ("", "rolling-back", *STATES)
        assert not fault.states or choice.moment.state in fault.states
        assert choice.second != choice.fault
        assert not choice.second or choice.configuration not in BAD or not FAULTS[choice.second].only_good


def test_every_second_fault_goes_with_every_way() -> None:
    seconds = {Choice.of(seed, two=True).second for seed in range(3000)}
    assert seconds == {name for name, fault in FAULTS.items() if not fault.way} | {""}


def test_a_deck_is_dealt_whole() -> None:
    assert Counter(dealt(DECK, seed, "system") for seed in range(len(DECK))) == Counter(DECK)


def test_names_are_those_of_faults_and_systems() -> None:
    assert {name for name, _outcome in UNAVOIDABLE} <= {*FAULTS, *SYSTEMS}
    assert all(UNAVOIDABLE.values())
    assert set(FAULTS) > THEIR_SYSTEM
    assert len(THEIR_SYSTEM) == 4


def test_every_system_is_a_configuration_of_the_flake(tmp_path: Path) -> None:
    flake = Flake(tmp_path / "flake")
    text = (flake.path / "faults.nix").read_text(encoding="utf-8")
    there = set(re.findall(r"^  (?:inherit )?([a-z0-9-]+)(?: =|;)", text, re.MULTILINE))
    assert {name for name in SYSTEMS if name} | {BOOT_LOST} <= there


def test_a_flake_becomes_one_for_another_boot_loader(tmp_path: Path) -> None:
    flake = Flake(tmp_path / "flake")
    before = (flake.path / "configuration.nix").read_text(encoding="utf-8")
    flake.become("7.abcd", "grub")
    assert 'installBootLoader = "${./install-boot-loader-grub}";' in (flake.path / "configuration.nix").read_text(
        "utf-8"
    )
    assert 'version = "7.abcd";' in (flake.path / "hosts.nix").read_text(encoding="utf-8")
    flake.become("8", "systemd-boot")
    assert (flake.path / "configuration.nix").read_text(encoding="utf-8") == before


def test_figures_count_seeds_and_what_they_met() -> None:
    figures = Figures()
    figures.add("committed", ["reboot", "exit-1", "reboot"])
    figures.add("previous", ["reboot"])
    figures.add("superseded")
    figures.add("lost")
    lines = figures.lines().splitlines()
    assert lines[:5] == ["faults: 4", "committed: 1", "previous: 1", "superseded: 1", "lost: 1"]
    met = dict(line.rsplit(maxsplit=1) for line in lines[7:])
    assert met.keys() == set(NAMES)
    assert {name: count for name, count in met.items() if count != "0"} == {"reboot": "2", "exit-1": "1"}
