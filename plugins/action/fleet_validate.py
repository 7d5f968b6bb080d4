# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Validates the role's variables for all hosts of a play. See the module's documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.manager import split_host_pattern
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.template import Templar

from ..plugin_utils._action import HostAction, argument_spec
from ..plugin_utils._build.settings import named
from ..plugin_utils._codes import Refusal
from ..plugin_utils._host.answer import HostError
from ..plugin_utils._host.connection import Host
from ..plugin_utils._host.others import variables_of
from ..plugin_utils._lists import split
from ..plugin_utils._variables import names, own_tasks
from ..plugin_utils._variables.values import wrong

_BUILD_ON = f"{names.PREFIX}build_on"
_HOSTS = f"{names.PREFIX}hosts"
_ALLOW_ALL = f"{names.PREFIX}allow_all"
_FILES = ("checks", "pre_activate_tasks")
"""The variables that name a file of tasks."""
_NAMED = 5
"""How many hosts an error names."""
_DEPLOYS = ("main", "trial", "build", "profiles")
"""Entry points before which whatever is misspelt is wrong."""
_OURS = Path(__file__).parents[2] / "playbooks"


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.fleet_validate`."""

    module = "fleet_validate"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Nothing here touches a host."""
        self._entry_point: str = options["entry_point"]
        self._context = self.context
        self._loaded: dict[str, str] = {}
        """What was wrong with each file of tasks; "" for nothing."""
        self._files: dict[str, dict[str, str]] = {variable: {} for variable in _FILES}
        """For each variable that names a file of tasks the one that is meant, by host."""
        self._builders: set[str] = set()
        self._passed_over: dict[str, list[str]] = {}
        """What is misspelt, and means nothing for what is to be done, with the hosts."""
        hosts, untouched = self._hosts(host.name)
        found: dict[str, list[str]] = {}
        looked_at = []
        for name in hosts:
            variables = self._variables(name, host.name)
            if name != host.name and self._is_left_out(name, variables):
                continue
            looked_at.append(name)
            for error in self._errors(name, variables):
                found.setdefault(error, []).append(name)
        if found:
            lines = [f"  {error}{_where(its, looked_at)}" for error, its in found.items()]
            raise HostError(
                "\n".join([f"the variables are wrong, and {untouched} touched:", *lines]), Refusal.BAD_OPTION
            )
        said = [f"{text}{_where(its, looked_at)}" for text, its in self._passed_over.items()]
        known = {**self._files, "builders": sorted(self._builders)}
        return {"changed": False, **known, **({"warnings": said} if said else {})}

    def _hosts(self, own: str) -> tuple[Sequence[str], str]:
        """Those to look at, and which of them were not touched, for people.

        All of the play with the first batch that is to be validated, since none may be touched if one is wrong.
        """
        self._batch: Sequence[str] = self.task_vars.get("ansible_play_batch") or [own]
        # With other strategies Ansible runs it for every host. One that fails ends no other then.
        ends_all = not self._context.strategy and (self._task.run_once or self._task.any_errors_fatal is True)
        play = self.task_vars.get("ansible_play_hosts") or self._batch
        if ends_all and self._is_first(play):
            return list(play), "no host was"
        if ends_all and self._task.run_once:
            return list(self._batch), "no host of this batch was"
        return [own], f"{own} was not"

    def _is_first(self, play: Sequence[str]) -> bool:
        """Whether nobody has looked at all of the play yet, for the role where it is used there.

        A batch's first host may be left out, or a whole batch, and hosts may be shuffled: whoever comes first says so.
        """
        part = self._task
        while (parent := part.get_first_parent_include()) is not None:
            part = parent
        try:
            self.common_file("validated", part).touch(exist_ok=False)
        except FileExistsError:
            # The role may be used again and again, with other variables.
            return bool(self._task.run_once and play[0] in self._batch)
        return True

    def _is_left_out(self, name: str, variables: Mapping[str, Any]) -> bool:
        """Whether the task's own conditions, which are the role's, leave another host out."""
        templar = Templar(loader=self._loader, variables=dict(variables))
        for one in self._conditions:
            try:
                if not templar.evaluate_conditional(one):
                    return True
            except AnsibleError:
                # What decides it may not be known of a later batch yet, which is looked at when its turn comes. Of this
                # batch Ansible itself will say so.
                return name not in self._batch
        return False

    @cached_property
    def _conditions(self) -> Sequence[Any]:
        """Those of the task, of what it is in, and of all that includes it for some hosts only."""
        found: list[Any] = []
        part: Any = self._task
        while part is not None:
            # Of an import_role that is not run itself it is still what the playbook says, which may be one condition.
            found += part.when if isinstance(part.when, list) else [part.when]
            part = part.get_first_parent_include()
        return found

    @cached_property
    def _is_all(self) -> bool:
        """Whether the play is one of all hosts, and nobody has chosen them."""
        play = self._task.get_play()
        # What the play has read its hosts from: nothing of the inventory.
        known = self.task_vars["hostvars"]._variable_manager.get_vars(play=play)
        if self.task_vars.get("ansible_limit") or _HOSTS in known:
            return False
        patterns = split_host_pattern(Templar(loader=self._loader, variables=self.task_vars).template(play.hosts))
        every = set(self.task_vars["groups"]["all"])
        are_all = every <= set(self.task_vars["ansible_play_hosts_all"])
        # Of all that are in some group is a choice.
        narrowed = any(one.startswith("&") for one in patterns)
        return are_all and len(every) > 1 and not narrowed and bool({"all", "*"} & set(patterns))

    def _variables(self, name: str, own: str) -> Mapping[str, Any]:
        """The variables of a host, as this task would have them there."""
        if name == own:
            return self.task_vars
        return variables_of(self._task, name, self.task_vars["hostvars"])

    def _no_builders(self, given: Any) -> Iterator[str]:
        """Hosts that are to build and that there are not. What is no list at all is said elsewhere."""
        builders = split(given) if isinstance(given, str) else given
        for one in named(builders) if isinstance(builders, list) else ():
            self._builders.add(one)
            if one not in self.task_vars.get("hostvars", ()):
                yield f"{_BUILD_ON}: there is no host {one!r} in the inventory"

    def _errors(self, name: str, variables: Mapping[str, Any]) -> list[str]:
        spec = names.types()[self._entry_point]
        found = []
        for variable, message in names.misspelt(variables):
            text = f"{variable}: {message}"
            # A rollback, or a look, must not fail for what only a deploy would read.
            if self._entry_point in _DEPLOYS or names.nearest(variable, names.known()) in spec:
                found.append(text)
            else:
                self._passed_over.setdefault(text, []).append(name)
        if found:
            return found
        templar = Templar(loader=self._loader, variables=dict(variables))
        values: dict[str, Any] = {}
        for variable in spec:
            if variable in variables:
                try:
                    # What is omitted is gone then.
                    values |= templar.template({variable: variables[variable]})
                except AnsibleError as error:
                    # What hosts of a later batch are to know by then, they need not know yet, nor a host its own name.
                    if name in self._batch and not _is_asked(variable, variables):
                        found.append(f"{variable}: {error}")
        found += self._no_builders(values.get(_BUILD_ON))
        if _ALLOW_ALL in spec and not boolean(values.get(_ALLOW_ALL, True), strict=False) and self._is_all:
            found.append(
                f"{_ALLOW_ALL} is false, and the play is one of all hosts of the inventory: choose some with --limit or"
                f" {_HOSTS} (or all of them with --limit all)"
                + (f"; {_HOSTS} of the inventory chooses nothing, so give it with -e" if _HOSTS in variables else "")
            )
        found += wrong(self._entry_point, spec, values, self._context, _options_of)
        if not found:
            for variable in _FILES:
                if given := values.get(f"{names.PREFIX}{variable}"):
                    found += self._wrong_with_file(variable, name, str(given), variables)
        return found

    def _wrong_with_file(self, variable: str, name: str, given: str, variables: Mapping[str, Any]) -> list[str]:
        """What is wrong with a file of the operator's own tasks, which is loaded once for all hosts."""
        playbook = Path(str(variables["playbook_dir"]))
        try:
            file = str(own_tasks.find(given, playbook, playbook.resolve() == _OURS.resolve()))
        except own_tasks.OwnTasksError as error:
            return [f"{names.PREFIX}{variable}: {error}"]
        if file not in self._loaded:
            self._loaded[file] = self._load(file, variables)
        self._files[variable][name] = file
        wrong_with_it = self._loaded[file]
        return [f"{names.PREFIX}{variable}: {wrong_with_it}"] if wrong_with_it else []

    def _load(self, file: str, variables: Mapping[str, Any]) -> str:
        try:
            own_tasks.load(file, self._loader, self._task, variables["hostvars"]._variable_manager)
        except own_tasks.OwnTasksError as error:
            return str(error)
        return ""


def _is_asked(variable: str, variables: Mapping[str, Any]) -> bool:
    """Whether the host is asked for the name of its configuration after this, as the command does."""
    asks = "deploy_flake_own_hostname" in variables.get("group_names", ())
    return variable == "deploy_flake_configuration" and asks and "deploy_flake_asked" not in variables


def _options_of(module: str, given: Mapping[str, Any]) -> dict[str, Any]:
    spec = argument_spec(module)
    checked = ArgumentSpecValidator(spec).validate({name: value for name, value in given.items() if name in spec})
    if checked.error_messages:
        raise HostError("; ".join(checked.error_messages), Refusal.BAD_OPTION)
    options: dict[str, Any] = checked.validated_parameters
    return options


def _where(its: Sequence[str], hosts: Sequence[str]) -> str:
    """Which hosts an error is about, where it is not about all."""
    if len(its) == len(hosts):
        return ""
    more = f" and {len(its) - _NAMED} more" if len(its) > _NAMED else ""
    return f" ({', '.join(its[:_NAMED])}{more})"
