# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is unusual about a host, each with its word and what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import State
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status.anomalies import explain
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status.facts import Facts, OpenDeployment, Trial

A, B, C = "/nix/store/a", "/nix/store/b", "/nix/store/c"
IN_PROGRESS = OpenDeployment("the-id", State.WINDOW, True)
LEFT = OpenDeployment("the-id", State.ACTIVATING, False)
FAILED = {"id": "old-id", "outcome": "commit-failed", "live": A, "boot": B, "why": "no space"}

LOST_TRIAL = Trial(A, False, "it was booted once and runs")


@pytest.mark.parametrize(
    ("facts", "states"),
    [
        ({"current": A, "booted": A, "boot_default": A}, []),
        ({"current": A, "booted": A, "boot_default": A, "loader": A}, []),
        ({"current": B, "booted": A, "boot_default": B}, []),
        ({"current": C, "booted": A, "boot_default": A, "parent": A}, []),
        (
            {
                "current": A,
                "booted": A,
                "boot_default": A,
                "loader": C,
                "loader_parent": A,
                "loader_disagrees": True,
            },
            [],
        ),
        ({"current": B, "booted": A, "boot_default": A}, ["tested-not-confirmed"]),
        ({"current": B, "booted": A, "boot_default": C, "complete": True}, ["tested-not-confirmed"]),
        ({"current": B, "booted": A, "boot_default": A, "until_reboot": True}, ["until-reboot"]),
        # Also where what was booted is what was tried.
        ({"current": B, "booted": B, "boot_default": A, "until_reboot": True}, ["until-reboot"]),
        # A boot-only deployment, after one that was committed live; also where it leads back to what was booted.
        ({"current": B, "booted": A, "boot_default": C, "live_committed": True}, ["boot-default-not-live"]),
        ({"current": B, "booted": A, "boot_default": A, "live_committed": True}, ["boot-default-not-live"]),
        # Who may not read the records does not know.
        ({"current": B, "booted": A, "boot_default": C}, ["boot-default-not-live"]),
        (
            {"current": B, "booted": A, "boot_default": C, "trial": LOST_TRIAL, "complete": True},
            ["tested-not-confirmed"],
        ),
        ({"current": A, "booted": A, "boot_default": B}, ["boot-default-not-live"]),
        ({"current": A, "booted": A, "boot_default": B, "trial": LOST_TRIAL}, ["booted-once"]),
        (
            {"current": A, "booted": A, "boot_default": B, "trial": replace(LOST_TRIAL, toplevel=C)},
            ["boot-default-not-live"],
        ),
        ({"current": B, "booted": B, "boot_default": B, "trial": LOST_TRIAL}, []),
        ({"current": A, "booted": A, "boot_default": ""}, ["no-boot-default"]),
        (
            {"current": A, "booted": A, "boot_default": A, "loader": B, "loader_disagrees": True},
            ["loader-disagrees"],
        ),
        ({"current": A, "booted": A, "boot_default": A, "loader_disagrees": True}, ["loader-disagrees"]),
        ({"current": A, "booted": A, "boot_default": A, "loader_why": "x", "complete": True}, ["loader-unknown"]),
        ({"current": A, "booted": A, "boot_default": A, "loader_why": "x"}, []),
        ({"current": B, "booted": B, "boot_default": A, "open_deployment": IN_PROGRESS}, ["deploying"]),
        (
            {"current": B, "booted": A, "boot_default": A, "open_deployment": LEFT},
            ["deployment-interrupted", "tested-not-confirmed"],
        ),
        (
            {"current": A, "booted": C, "boot_default": B, "last_deployment": FAILED, "complete": True},
            ["commit-failed", "tested-not-confirmed"],
        ),
        ({"current": B, "booted": B, "boot_default": B, "last_deployment": FAILED}, []),
        ({"current": A, "booted": A, "boot_default": A, "unfinished_removal": True}, ["removal-interrupted"]),
    ],
)
def test_anomalies(facts: dict[str, Any], states: list[str]) -> None:
    assert [one.as_value()["state"] for one in explain(Facts(**facts))] == states


def test_they_say_which_systems_and_what_to_do() -> None:
    (tested,) = explain(Facts(current=B, booted=A, boot_default=A))
    assert f"runs {B} and would boot {A}, what was booted" in tested.text
    disagrees = Facts(A, A, A, loader=B, loader_why=f"the boot loader starts {B}", loader_disagrees=True)
    (loader,) = explain(disagrees)
    assert f"system profile is {A}, but the boot loader starts {B}" in loader.text
    assert "switch-to-configuration boot" in loader.text
    (waits,) = explain(Facts(current=B, booted=A, boot_default=A, open_deployment=IN_PROGRESS))
    assert "is in progress (window); it waits for confirmation, and rolls back without one" in waits.text
    (lost,) = explain(Facts(current=A, booted=A, boot_default=B, trial=LOST_TRIAL))
    assert lost.text.startswith("it was booted once and runs. ")
    assert "keeps it" in lost.text
    (tried,) = explain(Facts(current=A, booted=A, boot_default=B, trial=replace(LOST_TRIAL, in_progress=True)))
    assert f"if that does not end well, the next boot starts {B}" in tried.text


@pytest.mark.parametrize(
    ("facts", "waits"),
    [
        ({"current": A, "booted": A, "boot_default": A}, False),
        ({"current": B, "booted": A, "boot_default": B}, False),
        ({"current": A, "booted": A, "boot_default": B}, True),
        ({"current": B, "booted": A, "boot_default": C}, True),
        # A reboot would end what is tested.
        ({"current": B, "booted": A, "boot_default": A}, False),
        ({"current": B, "booted": A, "boot_default": A, "until_reboot": True}, False),
        ({"current": B, "booted": B, "boot_default": A, "until_reboot": True}, False),
        ({"current": B, "booted": A, "boot_default": A, "live_committed": True}, True),
        ({"current": A, "booted": A, "boot_default": B, "trial": LOST_TRIAL}, False),
        ({"current": A, "booted": A, "boot_default": ""}, False),
    ],
)
def test_what_waits_for_a_reboot(facts: dict[str, Any], waits: bool) -> None:
    assert Facts(**facts).boot_default_waits is waits
