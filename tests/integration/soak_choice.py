# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a seed decides: everything, by its number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from integration.soak_fault import Fault
from integration.soak_faults import FAULTS
from integration.soak_scene import STATES, Moment
from integration.soak_systems import BAD, GOOD, SYSTEMS, System

Card = TypeVar("Card")

# How a system is deployed, and how often of a whole deck. What is beside the playbook has fewer promises to keep.
PLAYBOOK, STEPS, COMMAND, BOOT_ONLY, SPECIALISATION, CHECK, FLEET = (
    *("the playbook", "the playbook, step by step", "the command"),
    *("boot only", "a specialisation", "check mode", "all or nothing"),
)
WAYS = (
    *(PLAYBOOK,) * 22,
    *(STEPS,) * 4,
    *(COMMAND,) * 7,
    *(BOOT_ONLY,) * 2,
    *(SPECIALISATION,) * 2,
    *(CHECK,) * 2,
    *(FLEET,) * 2,
)
# With these nobody tries it, or there has to be a specialisation.
FOR_GOOD = (BOOT_ONLY, SPECIALISATION)
# What a host is like before. The second deploys what runs already, on a host whose boot loader names something else.
PLAIN, COMMIT_FAILED, COMMIT_FAILED_SAME = "", "after commit-failed", "after commit-failed, the same system again"
BEGINNINGS = (*(PLAIN,) * 22, COMMIT_FAILED, COMMIT_FAILED, COMMIT_FAILED_SAME)
LOADERS = (*("systemd-boot",) * 5, "grub", "grub", "extlinux")
# To give a host another boot loader takes a while, so some seeds in a row, for each host, have the same one.
SAME_LOADER = 12
SECRETS = (True, False, False)
# As many good systems as bad ones, or nearly.
DECK = (*GOOD * (len(BAD) // len(GOOD)), *BAD)
# Of a system that does harm by itself, when it does.
ITS_STATES = ("activating", "settling", "rolling-back")


def dealt(deck: Sequence[Card], seed: int, name: str) -> Card:
    """The seed's card of a deck that is shuffled again and again: each comes as often as it is in the deck."""
    turn, place = divmod(seed, len(deck))
    cards = list(deck)
    Random(f"{name} {turn}").shuffle(cards)
    return cards[place]


@dataclass(frozen=True)
class Choice:
    """All that a seed decides."""

    fault: str
    moment: Moment
    configuration: str
    way: str
    beginning: str
    loader: str
    cut_power: bool
    """Whether the reboot at the end is a power cut."""
    deploy_first: bool
    """Whether the next deploy comes before that reboot."""
    random: Random
    brings_secrets: bool = False
    second: str = ""
    """Another fault that begins a little later than the first, where two are wanted."""

    @classmethod
    def of(cls, seed: int, two: bool = False) -> Choice:
        random = Random(seed)
        name = dealt(list(FAULTS), seed, "fault")
        fault = FAULTS[name]
        configuration = dealt(DECK, seed, "system")
        if not _goes_with(configuration, fault):
            configuration = random.choice(GOOD)
        way = fault.way or dealt(WAYS, seed, "way")
        if configuration in BAD and (way in FOR_GOOD or (way == FLEET and _is_looked_after(configuration))):
            way = PLAYBOOK
        beginning = dealt(BEGINNINGS, seed, "beginning")
        if way in (*FOR_GOOD, FLEET) or (configuration in BAD and beginning == COMMIT_FAILED_SAME):
            beginning = PLAIN
        if beginning == COMMIT_FAILED_SAME or way == SPECIALISATION:
            # It has to be the system that runs; and only the plain one has a specialisation.
            configuration = ""
        second = random.choice([other for other in FAULTS if other != name and not FAULTS[other].way]) if two else ""
        if second and not _goes_with(configuration, FAULTS[second]):
            second = ""
        return cls(
            name,
            _moment(random, configuration, fault.states),
            configuration,
            way,
            beginning,
            dealt(LOADERS, seed // SAME_LOADER, "loader"),
            cut_power=random.random() < 0.4,
            deploy_first=random.random() < 0.25,
            random=random,
            brings_secrets=dealt(SECRETS, seed, "secrets") and way != FLEET and not beginning,
            second=second,
        )

    @property
    def system(self) -> System:
        """What is known of its configuration."""
        return SYSTEMS[self.configuration]


def _goes_with(configuration: str, fault: Fault) -> bool:
    """Whether nobody has to keep a system that does harm, nor write a boot loader with an installer that does not."""
    return configuration not in BAD or not (fault.only_good or (fault.installs and configuration.startswith("boot-")))


def _is_looked_after(configuration: str) -> bool:
    """Whether somebody does something on the host while this one is tried, or before."""
    system = BAD[configuration]
    return system.fails_when_told or system.fills_run or bool(system.runs_before)


def _moment(random: Random, configuration: str, states: Sequence[str]) -> Moment:
    if not states and random.random() < 0.4:
        return Moment("", random.random())
    states = states or (ITS_STATES if configuration in BAD and random.random() < 0.7 else STATES[:-1])
    return Moment(random.choice(states), random.choice((0, random.uniform(0, 0.5))))
