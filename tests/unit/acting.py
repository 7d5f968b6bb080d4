# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs an action as Ansible does, with a host that plays scripted answers in the place of the connection."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from unit.fake_host import FakeHost

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import _action

_ACTIONS = "ansible_collections.deploy_flake.nixos.plugins.action"


def options_of(module: str, **given: Any) -> dict[str, Any]:
    """The options of a module as its action gets them: those that are given, and the documented defaults."""
    checked = ArgumentSpecValidator(_action.argument_spec(module)).validate(given)
    assert not checked.error_messages
    options: dict[str, Any] = checked.validated_parameters
    return options


def act(
    monkeypatch: pytest.MonkeyPatch, host: FakeHost, module: str, check_mode: bool = False, **given: Any
) -> dict[str, Any]:
    """The result of a task with these arguments."""
    task = SimpleNamespace(args=given, action=module, check_mode=check_mode, diff=False, async_val=0, _uuid="task")
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"))
    action = import_module(f"{_ACTIONS}.{module}").ActionModule(task, connection, None, None, None, None)
    monkeypatch.setattr(_action, "Host", lambda *_arguments: host)
    result: dict[str, Any] = action.run(task_vars={"inventory_hostname": host.name})
    return result
