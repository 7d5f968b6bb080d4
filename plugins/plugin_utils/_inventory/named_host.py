# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host of which only a name and variables are known, where Ansible has neither a play nor a task yet."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from ansible import constants
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.plugins import loader as plugins
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from .._host.answer import Answer
from .._host.connection import Host
from .._host.others import action_on
from .._host.scripts import Input
from .._host.sending import FileData
from .._printable import printable


class Quiet(Host):
    """A host that an inventory is about, or comes from: standard output is for that alone."""

    def tell(self, text: str) -> None:
        """One line of progress for whoever watches."""
        self._display.display(f"{self.name}: {printable(text)}", stderr=True)


class Nobody(Quiet):
    """In the place of a host where none is named, to be asked what the controller cannot find out."""

    def __init__(self) -> None:
        super().__init__(cast(Any, None), "the inventory")

    @property
    def login_user(self) -> str:
        """Who logs in."""
        return ""

    def run(self, command: str, /, *, limit: float = 90, data: bytes | FileData = b"", **inputs: Input) -> Answer:
        """What Nix would say that finds nothing."""
        return Answer([("status", "1"), ("error", "error: no other host is named with 'evaluate_on'")])


class _Asking(ActionBase):
    """What has a connection and runs commands over it; no task of it is run."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        raise NotImplementedError


def named_host(name: str, variables: Mapping[str, Any], loader: DataLoader) -> Quiet:
    """The host of that name, over the connection that a task with become would have with these variables.

    Passwords that are asked for on the command line are not there yet when an inventory is read.
    """
    inventory = InventoryManager(loader=loader, parse=False)
    inventory.add_host(name)
    inventory.reconcile_inventory()
    for variable, value in variables.items():
        inventory.hosts[name].set_variable(variable, value)
    manager = VariableManager(loader=loader, inventory=inventory)
    hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    # Said in full: what reads an inventory alone has no such arguments, whose values would be the defaults.
    play = Play.load(
        {
            "hosts": name,
            "gather_facts": False,
            "connection": "ssh",
            "become": True,
            "become_method": constants.DEFAULT_BECOME_METHOD,  # type: ignore[attr-defined]
            "tasks": [{"deploy_flake.nixos.system_info": {}}],
        },
        variable_manager=manager,
        loader=loader,
    )
    (task,) = play.tasks[0].block
    nowhere: Any = SimpleNamespace(become=None, _load_name="ssh")
    asking = _Asking(task, nowhere, PlayContext(play), loader, Templar(loader=loader), plugins)
    return Quiet(action_on(asking, name, {"hostvars": hostvars}), name)
