# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a module come from its documentation."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from ansible import constants
from ansible.errors import AnsibleError
from unit.actions import action
from unit.fake_host import FakeHost

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import _action
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._action import argument_spec

PLUGINS = Path(_action.__file__).parents[1]
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))


def test_every_module_has_its_action() -> None:
    assert sorted(path.stem for path in (PLUGINS / "action").glob("*.py")) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_every_option_has_a_type(module: str) -> None:
    spec = argument_spec(module)
    assert spec
    assert all("type" in option for option in spec.values())


def test_first_action_switches_on_the_collector() -> None:
    """The command starts Ansible without, and a play may be long."""
    gc.disable()
    try:
        type("Another", (_action.HostAction,), {"module": "system_info"})
        assert gc.isenabled()
    finally:
        gc.enable()


def test_shared_options_and_their_defaults() -> None:
    spec = argument_spec("system_test")
    assert spec["toplevel"] == {"type": "str", "required": True}
    assert spec["reconnect_timeout"]["default"] == 300
    assert spec["limits"]["apply_defaults"] is True
    assert spec["limits"]["options"]["settle"] == {"type": "int"}
    assert spec["limits"]["options"]["check"] == {"type": "int", "default": 60}


def test_place_that_all_hosts_of_a_task_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path), raising=False)
    one, same = action("flake_deploy", {}), action("flake_deploy", {})
    assert one.common_file("a") == same.common_file("a") != one.common_file("b")
    assert one.common_file("a").parent == tmp_path
    same._task._uuid = "another task"
    assert one.common_file("a") != same.common_file("a")


@pytest.mark.parametrize("module", MODULES)
def test_messages_name_the_host_that_is_reached(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def host(_action: object, name: str, _at_once: int, on_behalf_of: str) -> FakeHost:
        made.append((name, on_behalf_of))
        return FakeHost()

    monkeypatch.setattr(_action, "Host", host)
    for delegate_to, reached in ((None, "web1"), ("builder", "builder")):
        task = action(module, {}, delegate_to=delegate_to)
        monkeypatch.setattr(task, "attempt", lambda _host, _work: {})
        monkeypatch.setattr(task, "_options", dict)
        task.run(task_vars={"inventory_hostname": "web1"})
        # What talks to no host is about the host of its task, wherever that is delegated to.
        of_no_host = module in ("fleet_outcome", "fleet_status")
        assert made.pop() == ("web1" if of_no_host else reached, "web1")


def test_action_without_work() -> None:
    with pytest.raises(NotImplementedError):
        _action.HostAction.act(action("system_test", {}), FakeHost(), {})


def test_documentation_that_is_none() -> None:
    with pytest.raises(AnsibleError, match="is not a mapping"):
        _action._load("- a list")
