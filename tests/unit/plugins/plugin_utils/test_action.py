# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a module come from its documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import _action as host_action
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._action import argument_spec

PLUGINS = Path(host_action.__file__).parents[1]
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))


def test_every_module_has_its_action() -> None:
    assert sorted(path.stem for path in (PLUGINS / "action").glob("*.py")) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_every_option_has_a_type(module: str) -> None:
    spec = argument_spec(module)
    assert spec
    assert all("type" in option for option in spec.values())


def test_shared_options_and_their_defaults() -> None:
    spec = argument_spec("system_test")
    assert spec["toplevel"] == {"type": "str", "required": True}
    assert spec["reconnect_timeout"]["default"] == 300
    assert spec["limits"]["apply_defaults"] is True
    assert spec["limits"]["options"]["settle"] == {"type": "int", "default": 3}
