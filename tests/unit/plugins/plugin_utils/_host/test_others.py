# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection of a task to a host that is not its own: what belongs to one host is given to no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible import context as command_line
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.playbook import Playbook
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader, connection_loader, init_plugin_loader
from ansible.template import Templar
from ansible.utils.collection_loader._collection_config import AnsibleCollectionConfig
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.deploy_flake.nixos.plugins.action.closure_copy import ActionModule
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.others import action_on

INVENTORY = """
all:
  hosts:
    web1:
      ansible_host: 192.0.2.1
      ansible_port: 2201
      ansible_user: of-web1
      ansible_password: secret-of-web1
      ansible_ssh_private_key_file: /keys/of-web1
      ansible_become_password: root-of-web1
      ansible_become_user: admin-of-web1
      login: templated-for-web1
    web2:
      login: templated-for-web2
    build1:
      ansible_host: 192.0.2.9
      login: templated-for-build1
      ansible_become_password: root-of-build1
    build2:
      login: templated-for-build2
    nobody: {}
    undefined:
      ansible_become_password: "{{ nowhere }}"
      ansible_port: "{{ nowhere }}"
"""
PASSWORDS = {"conn_pass": "asked-k", "become_pass": "asked-K"}


@pytest.fixture(autouse=True)
def _loader_of_collections() -> Iterator[None]:
    """Ansible finds no module without it; pytest-ansible brings one."""
    is_there = AnsibleCollectionConfig.collection_finder is not None
    if not is_there:
        init_plugin_loader()
    yield
    if not is_there:
        _AnsibleCollectionFinder._remove()


@pytest.fixture(autouse=True)
def _of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ansible has of it where nothing was said."""
    said = {"connection": "ssh", "become": False, "become_method": "sudo", "verbosity": 0}
    monkeypatch.setattr(command_line, "CLIARGS", ImmutableDict(said))


class Playing:
    """One task of a play, as Ansible has it ready for one host."""

    def __init__(self, tmp_path: Path, **keywords: Any) -> None:
        loader = DataLoader()
        file = tmp_path / "hosts.yml"
        file.write_text(INVENTORY)
        inventory = InventoryManager(loader=loader, sources=[str(file)])
        manager = VariableManager(loader=loader, inventory=inventory)
        self._loader, self._manager, self._inventory = loader, manager, inventory
        task = {"ansible.builtin.ping": {}, **keywords.pop("task", {})}
        play = {"hosts": "all", "gather_facts": False, "tasks": [task], **keywords}
        playbook = tmp_path / "play.yml"
        playbook.write_text(json.dumps([play]))
        (self._play,) = Playbook.load(str(playbook), variable_manager=manager, loader=loader).get_plays()
        self._hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
        manager._hostvars = self._hostvars

    def action(self, name: str, passwords: dict[str, str] | None = None) -> tuple[Any, dict[str, Any]]:
        """The action and its variables, as the executor of a task makes them."""
        ((task,),) = self._play.get_tasks()
        task = task.copy()
        variables = self._manager.get_vars(play=self._play, host=self._inventory.get_host(name), task=task)
        templar = Templar(loader=self._loader, variables=variables)
        context = PlayContext(self._play, passwords or {})
        context = context.set_task_and_variable_override(task=task, variables=variables, templar=templar)
        context.post_validate(templar=templar)
        task.post_validate(templar=getattr(templar, "_engine", templar))
        connection = connection_loader.get("ssh", context, None, task_uuid=task._uuid)
        connection.set_become_plugin(become_loader.get("sudo"))
        context.become_pass = variables.get("ansible_become_password", context.become_pass)
        made = ActionModule(task, connection, context, self._loader, templar, None)
        return made, {**variables, "hostvars": self._hostvars}

    def on(self, name: str, of: str = "web1", passwords: dict[str, str] | None = None) -> Any:
        """What a task of one host has of another host."""
        action, variables = self.action(of, passwords)
        return action_on(action, name, variables)


def options(action: Any) -> tuple[Any, ...]:
    """Who logs in where, and with what."""
    connection = action._connection
    names = ("host", "port", "remote_user", "password", "private_key_file")
    become = connection.become
    of_become = (become.get_option("become_user"), become.get_option("become_pass")) if become else ()
    return (*map(connection.get_option, names), *of_become)


def test_nothing_of_the_tasks_own_host_goes_to_another(tmp_path: Path) -> None:
    on = Playing(tmp_path, become=True).on("build2")
    said = options(on)
    assert said[0] == "build2"
    assert not [each for each in said if "web1" in str(each)]
    context = on._play_context
    assert (context.password, context.become_pass, context.port) in (("", None, None), ("", "", None))
    assert not [each for each in vars(context).values() if "web1" in str(each)]
    # Nor of it what the other has not, where that has something of its own.
    assert options(Playing(tmp_path, become=True).on("build1"))[-1] == "root-of-build1"


def test_passwords_of_the_command_line_hold_for_all(tmp_path: Path) -> None:
    playing = Playing(tmp_path, become=True)
    assert options(playing.on("build2", of="web2", passwords=PASSWORDS))[3] == "asked-k"
    assert options(playing.on("build2", of="web2", passwords=PASSWORDS))[-1] == "asked-K"
    # Where they cannot be told from those of the task's own host, they go nowhere.
    said = options(playing.on("build2", passwords=PASSWORDS))
    assert (said[3] or "", said[-1] or "") == ("", "")


@pytest.mark.parametrize("where", ["task", "play"])
def test_keywords_are_those_of_the_other_host(tmp_path: Path, where: str) -> None:
    keywords = {
        "remote_user": "{{ login }}",
        "become": "{{ login == 'templated-for-build2' }}",
        "become_user": "{{ login }}",
        "environment": {"WHO": "{{ login }}"},
    }
    playing = Playing(tmp_path, **(keywords if where == "play" else {"task": keywords}))
    on = playing.on("build2", of="web2")
    assert on._connection.get_option("remote_user") == "templated-for-build2"
    assert on._connection.become.get_option("become_user") == "templated-for-build2"
    assert on._compute_environment_string() == "WHO=templated-for-build2"
    assert playing.on("build1")._connection.become is None


def test_keywords_that_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="how to connect to nobody cannot be told") as refused:
        Playing(tmp_path, remote_user="{{ login }}").on("nobody")
    assert refused.value.reason == Refusal.BAD_OPTION


def test_a_controller_that_no_inventory_has(tmp_path: Path) -> None:
    """It is reached without ssh, and `become` holds for it."""
    connection = Playing(tmp_path, become=True).on("localhost")._connection
    assert connection.transport.rpartition(".")[2] == "local"
    assert connection.become is not None


def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="there is no host 'build9'") as refused:
        Playing(tmp_path).on("build9")
    assert refused.value.reason == Refusal.NO_HOST


def test_hosts_of_other_flakes_are_not_built_with_this_one(tmp_path: Path) -> None:
    """Nor those with other arguments; one that cannot be told asks for itself."""
    said = {
        "deploy_flake_flake": "{{ './staging' if inventory_hostname == 'web2' else './main' }}",
        "deploy_flake_build_args": "{{ ['--impure'] if inventory_hostname == 'build2' else [] }}",
        "deploy_flake_configuration": "{{ 'of-' + login if inventory_hostname != 'web1' else '' }}",
    }
    action, variables = Playing(tmp_path, vars=said).action("web1")
    hosts = ["web1", "web2", "build1", "build2", "nobody"]
    of_play = {"ansible_play_hosts_all": hosts, "ansible_play_hosts": hosts}
    action.task_vars = {**variables, **of_play}
    assert action.configurations() == {"web1": True, "of-templated-for-build1": True}
    # Of all the others nobody has to look again, in any process of the task.
    other, variables = Playing(tmp_path, vars=said).action("build1")
    other.task_vars = {**variables, **of_play}
    looked_at: list[str] = []
    look = other._built_of

    def looking(name: str) -> Any:
        looked_at.append(name)
        return look(name)

    other._task, other._built_of = action._task, looking
    assert other.configurations() == {"web1": True, "of-templated-for-build1": True}
    assert looked_at == ["build1"]
    other.task_vars["ansible_play_hosts"] = ["web1"]
    assert other.configurations() == {"web1": True, "of-templated-for-build1": False}


@pytest.mark.parametrize("become", [True, False])
def test_variables_that_cannot_be_told(tmp_path: Path, become: bool) -> None:
    """It is that host's fault, and not that of the task's own."""
    with pytest.raises(
        HostError, match=r"how to connect to undefined cannot be told from its variables: .*nowhere"
    ) as told:
        Playing(tmp_path, become=become).on("undefined")
    assert told.value.reason == Refusal.BAD_OPTION


def test_addresses_of_another_host(tmp_path: Path) -> None:
    """They are its own, also where a list was given as one string."""
    said = {"deploy_flake_addresses": "{{ '192.0.2.90, ' + login if login is search('build') else '192.0.2.66' }}"}
    action, variables = Playing(tmp_path, vars=said).action("web1")
    action.task_vars, action._reached = variables, {}
    assert action.host_of("build1")._candidates == ["192.0.2.9", "192.0.2.90", "templated-for-build1"]
    assert action.host_of("web2")._candidates == ["web2", "192.0.2.66"]
    with pytest.raises(HostError, match=r"addresses of nobody cannot be told from its variables: .*login") as told:
        action.host_of("nobody")
    assert told.value.reason == Refusal.BAD_OPTION


@pytest.mark.parametrize("delegate_to", ["build1", "web1"])
def test_addresses_of_a_host_that_a_task_is_delegated_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delegate_to: str
) -> None:
    said = {"deploy_flake_addresses": ["{{ login }}"]}
    action, variables = Playing(tmp_path, vars=said).action("web1")
    action._task.delegate_to = delegate_to
    action._task.args = {}
    monkeypatch.setattr(action, "_options", lambda: {"addresses": ["given.to.the.task"]})
    monkeypatch.setattr(action, "act", lambda host, _options: {"asks": host._candidates[1:]})
    of_it = "templated-for-build1" if delegate_to == "build1" else "given.to.the.task"
    assert action.run(task_vars=variables)["asks"] == [of_it]
    # A module that has no such option.
    monkeypatch.setattr(action, "_options", dict)
    assert action.run(task_vars=variables)["asks"] == [f"templated-for-{delegate_to}"]
