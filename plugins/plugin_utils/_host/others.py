# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of one task to hosts of the inventory that are not its own, as Ansible would make them for those."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ansible import constants
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar
from ansible.utils.sentinel import Sentinel  # type: ignore[attr-defined]

from .._codes import Refusal
from .answer import HostError
from .connection import Action

_DEPRECATED = ("become_user", "become_flags", "become_exe", "become_pass")
"""What some plugins still read from the play context."""
_KEYWORDS = (
    *("connection", "port", "remote_user", "environment"),
    *("become", "become_method", "become_user", "become_flags", "become_exe"),
)
"""Of a task, of what it is in and of its play: what they mean may differ from host to host."""


def action_on(action: Any, name: str, task_vars: Mapping[str, Any]) -> Action:
    """An action like this one whose connection leads to another host: with that host's variables, and the keywords of
    the task and of its play; HostError where the inventory does not have it.

    None of what this uses of ansible-core is public, and it has no other way: a task has one connection.
    """
    hostvars = task_vars.get("hostvars", {})
    if name not in hostvars:
        raise HostError(
            f"there is no host '{name}' in the inventory; nothing was done. Add it, or correct its name",
            Refusal.NO_HOST,
        )
    try:
        return _action_on(action, name, task_vars, hostvars)
    except AnsibleError as error:
        # Whoever reads it would look for what is wrong among the variables of the task's own host.
        raise HostError(
            f"how to connect to {name} cannot be told from its variables: {error}; nothing was done there",
            Refusal.BAD_OPTION,
        ) from error


def _action_on(action: Any, name: str, task_vars: Mapping[str, Any], hostvars: Any) -> Action:
    host = hostvars._inventory.get_host(name)
    task = action._task.copy()
    task.delegate_to = None
    variables = variables_of(task, name, hostvars)
    templar = Templar(loader=action._loader, variables=variables)
    _read_again(task, name, templar)
    # That of the action has what the variables of its own host say: nothing of it goes to another one.
    context = PlayContext(task.get_play(), _passwords(action, task_vars))
    context = context.set_task_and_variable_override(task=task, variables=variables, templar=templar)
    context.post_validate(templar=templar)
    context.remote_addr = context.remote_addr or host.address
    connection = _connect(context, task, variables, templar)
    return cast(
        Action,
        type(action)(
            task=task,
            connection=connection,
            play_context=context,
            loader=action._loader,
            templar=templar,
            shared_loader_obj=action._shared_loader_obj,
        ),
    )


def _read_again(task: Any, name: str, templar: Templar) -> None:
    """Give the task the keywords that it would have on another host; HostError where they cannot be told there."""
    written = getattr(task, "_ds", None)
    if not isinstance(written, Mapping):
        return
    # Until it is final it has what is around it for what it does not say itself.
    task._finalized = False
    try:
        for keyword in _KEYWORDS:
            setattr(task, keyword, written.get(keyword, Sentinel))
            # What newer ones of ansible-core have within it.
            value = task.post_validate_attribute(keyword, templar=getattr(templar, "_engine", templar))
            setattr(task, keyword, getattr(task, keyword) if value is Sentinel else value)
    except AnsibleError as error:
        raise HostError(
            f"how to connect to {name} cannot be told from the keywords of the task: {error}; nothing was done there",
            Refusal.BAD_OPTION,
        ) from error
    finally:
        task._finalized = True


def _passwords(action: Any, task_vars: Mapping[str, Any]) -> dict[str, str]:
    """Those that were asked for on the command line (-k, -K), which hold for every host.

    Ansible has them in the play context alone, where a variable of the task's host takes their place.
    """
    delegated = task_vars.get("ansible_delegated_vars", {})
    of_host = {*task_vars, *(name for variables in delegated.values() for name in variables)}
    connection, context = action._connection, action._play_context
    return {
        kind: getattr(context, option) or ""
        for kind, plugin, option in (
            ("conn_pass", ("connection", connection), "password"),
            ("become_pass", ("become", connection.become), "become_pass"),
        )
        if of_host.isdisjoint(_variables_for(*plugin, option))
    }


def _variables_for(kind: str, plugin: Any, option: str) -> Iterator[str]:
    """The names of all variables that an option may come from."""
    yield from constants.MAGIC_VARIABLE_MAPPING[option]
    if plugin is not None:
        found = constants.config.get_configuration_definitions(kind, plugin._load_name).get(option, {})
        yield from (variable["name"] for variable in found.get("vars", ()))


def variables_of(task: Any, name: str, hostvars: Any) -> dict[str, Any]:
    """The variables of a host as a task would have them there, not templated yet."""
    host = hostvars._inventory.get_host(name)
    found: dict[str, Any] = hostvars._variable_manager.get_vars(play=task.get_play(), host=host, task=task)
    return found


def _connect(context: Any, task: Any, variables: Mapping[str, Any], templar: Templar) -> Any:
    """The connection, which begins with the first command."""

    def value(name: str, otherwise: Any) -> Any:
        return otherwise if variables.get(name) is None else templar.template(variables[name])

    context.connection = value("ansible_connection", task.connection)
    connection = connection_loader.get(
        context.connection, context, None, task_uuid=task._uuid, ansible_playbook_pid=str(os.getppid())
    )
    if connection is None:
        raise HostError(f"the connection plugin '{context.connection}' was not found", Refusal.BAD_OPTION)
    keys = task.dump_attrs()
    # These two are the task's own.
    keys["timeout"] = context.timeout
    del keys["retries"]
    if context.password:
        keys["password"] = context.password
    become = None
    if boolean(value("ansible_become", task.become or False)):
        become = become_loader.get(value("ansible_become_method", task.become_method))
    connection.set_become_plugin(become)
    connection.set_options(task_keys=keys, var_options=connection._resolve_option_variables(variables, templar))
    _set_options("shell", connection._shell, keys, variables, templar)
    if become is not None:
        context.set_become_plugin(become.name)
        if context.become_pass:
            keys["become_pass"] = context.become_pass
        _set_options("become", become, keys, variables, templar)
        for option in _DEPRECATED:
            setattr(context, option, become.get_option(option) if become.has_option(option) else None)
        context.prompt = become.prompt
    return connection


def _set_options(
    kind: str, plugin: Any, keys: Mapping[str, Any], variables: Mapping[str, Any], templar: Templar
) -> None:
    names = constants.config.get_plugin_vars(kind, plugin._load_name)
    given = {name: templar.template(variables[name]) for name in names if name in variables}
    plugin.set_options(task_keys=keys, var_options=given)
