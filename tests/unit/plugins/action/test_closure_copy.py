# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the task says of a copy of a closure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.actions import Runner
from unit.closures import End, Source, Target, path

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import _action
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

TOP = path("s")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs the task on the first of its targets."""

    def copy(*ends: End, **given: Any) -> dict[str, Any]:
        by_name = {end.name: end for end in ends}

        def action_on(_action: Any, name: str, _task_vars: Any) -> str:
            if name not in by_name:
                raise HostError(f"there is no host '{name}' in the inventory", "no-host")
            return name

        monkeypatch.setattr(_action, "action_on", action_on)
        args = {"source": "build1", "targets": [end.name for end in ends if isinstance(end, Target)], "paths": [TOP]}
        made = Runner(monkeypatch)
        return made(
            "closure_copy", lambda _action, name, *_more: by_name[name], args | given, {"inventory_hostname": "web1"}
        )

    return copy


def source() -> Source:
    return Source({TOP: 100}, {TOP: [TOP]})


def test_it_went_well(run: Callable[..., dict[str, Any]]) -> None:
    result = run(source(), Target("web1"), Target("web2", [TOP]))
    assert "failed" not in result
    assert result["changed"]
    assert {name: each["changed"] for name, each in result["targets"].items()} == {"web1": True, "web2": False}


def test_one_has_failed(run: Callable[..., dict[str, Any]]) -> None:
    result = run(source(), Target("web1"), Target("web2", free=0))
    assert (result["failed"], result["changed"], result["reason"]) == (True, True, "no-space")
    assert result["msg"].startswith("web2 has 0 MiB free on /nix")
    assert result["msg"].endswith("web1 got all of it.")
    assert result["targets"]["web2"]["failed"]
    assert not result["targets"]["web2"]["unreachable"]


def test_one_is_not_there(run: Callable[..., dict[str, Any]]) -> None:
    """The task's only host is unreachable as it is for any other module; another one is told of."""
    away = Target("web1")
    away.instead["closure_begin"] = [AnsibleConnectionFailure("No route to host")]
    with pytest.raises(AnsibleConnectionFailure, match="No route"):
        run(source(), away)

    other = Target("web2")
    other.instead["closure_begin"] = [AnsibleConnectionFailure("No route to host")]
    result = run(source(), Target("web1"), other)
    assert (result["targets"]["web2"]["unreachable"], result["targets"]["web1"]["changed"]) == (True, True)


def test_a_host_that_there_is_not(run: Callable[..., dict[str, Any]]) -> None:
    result = run(Target("web1"))
    assert (result["failed"], result["reason"]) == (True, "no-host")
    assert "build1" in result["msg"]
