# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs an action plugin as Ansible does, with a host that plays scripted answers."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from unit.fake_host import FakeHost

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import _action
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.connection import Host

_ACTIONS = "ansible_collections.deploy_flake.nixos.plugins.action"


def options_of(module: str, **given: Any) -> dict[str, Any]:
    """The options of a module as its action gets them: those that are given, and the documented defaults."""
    checked = ArgumentSpecValidator(_action.argument_spec(module)).validate(given)
    assert not checked.error_messages
    options: dict[str, Any] = checked.validated_parameters
    return options


def action(
    name: str, args: dict[str, Any], *, check_mode: bool = False, diff: bool = False, delegate_to: str | None = None
) -> Any:
    """An action plugin with its task."""
    task = SimpleNamespace(
        args=args,
        check_mode=check_mode,
        diff=diff,
        async_val=0,
        action=name,
        delegate_to=delegate_to,
        _uuid="the-task",
    )
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/none"), transport="ssh")
    return import_module(f"{_ACTIONS}.{name}").ActionModule(task, connection, None, None, None, None)


class Runner:
    """Runs actions against one host after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(
        self,
        name: str,
        host: Host | Callable[..., Host],
        args: dict[str, Any],
        task_vars: dict[str, Any] | None = None,
        *,
        check_mode: bool = False,
        diff: bool = False,
    ) -> dict[str, Any]:
        """The result of a task."""
        made = host if not isinstance(host, Host) else lambda *_given: host
        self._monkeypatch.setattr(_action, "Host", made)
        known = {"inventory_hostname": "host1"} | (task_vars or {})
        result: dict[str, Any] = action(name, args, check_mode=check_mode, diff=diff).run(task_vars=known)
        return result


def act(
    monkeypatch: pytest.MonkeyPatch, host: FakeHost, name: str, check_mode: bool = False, **args: Any
) -> dict[str, Any]:
    """The result of one task with these arguments."""
    return Runner(monkeypatch)(name, host, args, {"inventory_hostname": host.name}, check_mode=check_mode)
