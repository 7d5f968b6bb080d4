# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The package and the collection decide by the same words, though neither can import the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import _codes
from deploy_flake import Reason, State
from deploy_flake.ansible_output import Step
from deploy_flake.runner_events import Module

ROOT = Path(__file__).parents[3]
# What is said of one profile of several.
OF_ONE = {"not-begun"}
# What only system_reboot says, and flake_install: of those the package makes outcomes.
REBOOTS = {"rebooted", "not-needed", "reverted", "unconfirmed", "would-reboot", "would-try"}
INSTALLS = {"installed", "would-install"}


def test_states() -> None:
    collection = {*map(str, _codes.FINAL), str(_codes.State.WINDOW), *map(str, _codes.ResultState)}
    assert {str(state) for state in State} - {""} == collection - REBOOTS - INSTALLS - OF_ONE


def test_state_of_a_later_version_is_no_error() -> None:
    assert State("of-a-later-version") is State.UNKNOWN


def test_steps_and_reasons() -> None:
    assert [str(step) for step in Step] == [str(step) for step in _codes.Step]
    assert str(Reason.ANOTHER_HOST_FAILED) in {str(reason) for reason in _codes.Refusal}


@pytest.mark.parametrize("module", Module)
def test_module_is_one_of_the_collection(module: Module) -> None:
    assert (ROOT / f"plugins/action/{module}.py").exists()
