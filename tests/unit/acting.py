# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs an action as Ansible does, with a host that plays scripted answers in the place of the connection."""

from __future__ import annotations

from collections.abc import Callable
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


def action(module: str, args: dict[str, Any], check_mode: bool = False, diff: bool = False) -> Any:
    """An action plugin with its task."""
    task = SimpleNamespace(args=args, action=module, check_mode=check_mode, diff=diff, async_val=0, _uuid="task")
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"))
    return import_module(f"{_ACTIONS}.{module}").ActionModule(task, connection, None, None, None, None)


def act(
    monkeypatch: pytest.MonkeyPatch,
    host: FakeHost | Callable[..., FakeHost],
    module: str,
    check_mode: bool = False,
    task_vars: dict[str, Any] | None = None,
    **given: Any,
) -> dict[str, Any]:
    """The result of a task with these arguments."""
    made = (lambda *_arguments: host) if isinstance(host, FakeHost) else host
    monkeypatch.setattr(_action, "Host", made)
    known = {"inventory_hostname": "host1"} | (task_vars or {})
    result: dict[str, Any] = action(module, given, check_mode).run(task_vars=known)
    return result
