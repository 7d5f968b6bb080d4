# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the action plugins have in common: options from the module's documentation, and one way to fail."""

from __future__ import annotations

import fcntl
import gc
import hashlib
import json
import math
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import yaml
from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import strategy_loader
from ansible.template import Templar

from . import _reason
from ._codes import Refusal
from ._deployment import messages
from ._deployment.context import Context
from ._deployment.other_names import OtherNames
from ._flake.reference import FlakeError
from ._host.answer import HostError
from ._host.connection import BEGUN, Host, may_be_off
from ._host.others import action_on, variables_of
from ._lists import split, split_lists
from ._numbers import too_small
from ._printable import printable
from ._secrets.shape import misshapen

_COLLECTION = "ansible_collections.deploy_flake.nixos.plugins"
_SPEC_KEYS = ("type", "default", "required", "choices", "elements", "aliases", "no_log")
TOLD_IN_THE_END = "deploy_flake_told_in_the_end"
"""The variable with which the role says that its last task tells the reason of a failure."""
_ALLOW_UNREACHABLE = "deploy_flake_allow_unreachable"
_ADDRESSES = "deploy_flake_addresses"
_CONFIGURATION = "deploy_flake_configuration"
_BUILT_OF = tuple(
    f"deploy_flake_{name}"
    for name in ("flake", "file", "attribute", "toplevel", "build_args", "nix_config", "build_on", "build_together")
)
_FORKS = 5
"""What Ansible has by default."""
_HINTS: dict[str, str] = {
    Refusal.NOT_ROOT: "set 'become: true' for the task or log in as root",
}


class HostAction(ActionBase):
    """An action that works on the host without a module: nothing is copied there and no Python is needed."""

    TRANSFERS_FILES = False
    module = ""
    """The module whose documentation says what the options are."""
    reaches_host: ClassVar[bool] = True
    """Whether it talks to a host at all; one that does not speaks of the task's host, wherever it is delegated to."""
    asks_first: ClassVar[bool] = False
    """Whether plays ask with it before one that may leave hosts out: a host that does not answer is left out there."""
    rules: ClassVar[Mapping[str, Any]] = {}
    """What holds between them, as in Ansible's argument specifications: documentation has no field for that."""

    def __init_subclass__(cls) -> None:
        """Read once what every task needs: Ansible loads an action before it starts processes for the hosts."""
        super().__init_subclass__()
        argument_spec(cls.module)
        # All that Ansible has loaded by now stays until the end, where a third of a second would pass with looking for
        # garbage among it. Python's own advice before a fork, too: what nobody looks through, all processes share.
        gc.freeze()
        # The command starts Ansible without.
        gc.enable()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """What Ansible calls. A failure is a result with `msg`, and never an exception."""
        result: dict[str, Any] = super().run(tmp, task_vars) or {}
        self.task_vars = task_vars or {}
        self.check_mode = bool(self._task.check_mode)
        self.diff_mode = bool(self._task.diff)
        batch, forks = self.task_vars.get("ansible_play_batch", ()), int(self.task_vars.get("ansible_forks") or 1)
        task_for = str(self.task_vars.get("inventory_hostname", ""))
        # Messages name the host that the connection leads to.
        reached = str(getattr(self._task, "delegate_to", None) or task_for) if self.reaches_host else task_for
        host = Host(self, reached, min(len(batch), forks), task_for)
        self._reached = {reached: host}
        try:
            options = self._options()
        except AnsibleActionFail as error:
            return {**result, "failed": True, "msg": error.message, "reason": str(Refusal.BAD_OPTION)}
        leaves_out = self._leaves_out(host, options)
        host.waited_for = not leaves_out
        try:
            result.update(self.attempt(host, lambda: self._act_where_it_is(host, options)))
        except AnsibleConnectionFailure as error:
            # Without a word about it Ansible itself tells it, as it tells it of any task.
            if not (leaves_out and may_be_off(error)):
                raise
            result.update(self._absent(task_for, str(error), may_be_left_out="allow_unreachable" in options))
        self._remember_who_answered()
        plain: dict[str, Any] = _plain(result)
        if plain.get("failed") and self.task_vars.get(TOLD_IN_THE_END):
            # Whoever tells it knows the host that the task is for, wherever it is delegated to.
            _reason.keep_for_the_end(task_for or host.name, plain)
        return plain

    def _act_where_it_is(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        # The option has those of the host that the task is for; some modules have none.
        asked = host.name == host.on_behalf_of and "addresses" in options
        addresses = options["addresses"] if asked else self._addresses_of(host.name)
        host.try_addresses(addresses, self._found_at(host.name))
        return self.act(host, options)

    def _options(self) -> dict[str, Any]:
        """What the task says, checked, with the defaults of what it does not say. What is empty it does not say."""
        spec = argument_spec(self.module)
        self._task.args = {
            name: value
            for name, value in self._task.args.items()
            if value is not None and (value != "" or "default" in spec.get(name, {}))
        }
        self._task.args = split_lists(spec, self._task.args)
        if wrong := "; ".join(misshapen(spec, self._task.args)):
            raise AnsibleActionFail(wrong)
        _valid, options = self.validate_argument_spec(argument_spec=spec, **self.rules)  # type: ignore[no-untyped-call]
        if wrong := "; ".join(f"{name}: {message}" for name, message in too_small(options)):
            raise AnsibleActionFail(wrong)
        return dict(options)

    def _leaves_out(self, host: Host, options: Mapping[str, Any]) -> bool:
        """Whether the task's host is left out if it does not answer: not one that has answered in this run, which is
        lost, nor for another one that the task is delegated to."""
        if host.name != host.on_behalf_of or self._answered(host.name).exists():
            return False
        said = options.get("allow_unreachable", self.task_vars.get(_ALLOW_UNREACHABLE) if self.asks_first else False)
        if isinstance(said, str):
            said = Templar(loader=self._loader, variables=self.task_vars).template(said)
        return bool(boolean(said, strict=False))

    def _absent(self, name: str, said: str, may_be_left_out: bool) -> dict[str, Any]:
        """The result for a host that does not answer, and is to be left out.

        Where no host of the play's batch answers nobody was deployed to, and one of them at least is unreachable all
        the same: the next batch is for what has worked in this one. Those that have failed before are none of them.
        Where every host is a batch of its own, that is for the whole play.
        """
        message = f"{name} could not be reached, and was left as it was: {said}"
        absent = self.common_file("absent").with_suffix(".d")
        absent.mkdir(exist_ok=True)
        (absent / _hashed(name)).touch()
        serial = getattr(self._play, "serial", None) or ()
        one_by_one = bool(serial) and {str(each) for each in serial} == {"1"}
        batch = self.task_vars.get("ansible_play_hosts_all" if one_by_one else "ansible_play_batch", ())
        others_may_be_there = any(not (absent / _hashed(one)).exists() for one in batch)
        if may_be_left_out and others_may_be_there:
            return {"changed": False, "absent": True, "msg": message, "warnings": [message]}
        return {"changed": False, "absent": True, "msg": said, "unreachable": True}

    @property
    def forks(self) -> int:
        """How many hosts Ansible works on at a time."""
        return int(self.task_vars.get("ansible_forks") or _FORKS)

    @property
    def context(self) -> Context:
        """What the work has to know of the run."""
        hosts = len(self.task_vars.get("ansible_play_hosts_all", ()))
        batches = math.ceil(hosts / self.forks)
        # Ansible makes its constants as it starts.
        others = OtherNames(Path(constants.DEFAULT_LOCAL_TMP))  # type: ignore[attr-defined]
        return Context(self.check_mode, self.diff_mode, batches, self._strategy_without_step(), others)

    @property
    def _play(self) -> Any:
        return getattr(self._task, "get_play", lambda: None)()

    def _strategy_without_step(self) -> str:
        """ "" for linear, and for what is derived from it, such as debug and mitogen_linear."""
        play = self._play
        if play is None:
            return ""
        found = strategy_loader.get(play.strategy, class_only=True)
        kinds = [kind.__module__.rpartition(".")[2] for kind in getattr(found, "__mro__", ())]
        return "" if "linear" in kinds else str(play.strategy)

    def host_of(self, name: str) -> Host:
        """A host of the inventory, over a connection of its own unless it is the task's; HostError if it has none."""
        if name not in self._reached:
            host = Host(action_on(self, name, self.task_vars), name)
            host.try_addresses(self._addresses_of(name), self._found_at(name))
            self._reached[name] = host
        return self._reached[name]

    def _addresses_of(self, name: str) -> list[str]:
        """Other addresses of a host by its own variables; HostError where they cannot be told."""
        hostvars = self.task_vars.get("hostvars", {})
        if not self.reaches_host or name not in hostvars:
            return []
        try:
            own = name == self.task_vars.get("inventory_hostname")
            variables = self.task_vars if own else variables_of(self._task, name, hostvars)
            said = Templar(loader=self._loader, variables=variables).template(variables.get(_ADDRESSES))
        except AnsibleError as error:
            raise HostError(
                f"the addresses of {name} cannot be told from its variables: {error}; nothing was done there",
                Refusal.BAD_OPTION,
            ) from error
        return split(said) if isinstance(said, str) else [str(one) for one in said or ()]

    def configurations(self) -> dict[str, bool]:
        """The names in nixosConfigurations of all hosts of the play whose variables have them built of the same flake,
        in the same way, as those of the task's host do; and whether they are still needed: a host may have failed."""
        try:
            _configuration, mine = self._built_of(str(self.task_vars.get("inventory_hostname")))
        except AnsibleError:
            # Nobody is like a host of which it cannot be told.
            return {}
        left = {*self.task_vars.get("ansible_play_hosts", ())}
        needed: dict[str, bool] = {}
        for name, configuration, built_of in self._all_built_of():
            if built_of == mine:
                needed[configuration] = needed.get(configuration, False) or name in left
        return needed

    def _all_built_of(self) -> list[tuple[str, str, str]]:
        """The same for all hosts of the play. The first process looks, since that takes a while with many hosts."""
        file = self.common_file(f"configurations for {self.task_vars.get('ansible_play_batch')}")
        with file.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                found = []
                for name in self.task_vars.get("ansible_play_hosts_all", ()):
                    # One that cannot be told is asked for by its own host.
                    with suppress(AnsibleError):
                        found.append((name, *self._built_of(name)))
                written = file.with_suffix(".new")
                written.write_text(json.dumps(found), "utf-8")
                written.replace(file)
            return [tuple(one) for one in json.loads(file.read_text("utf-8"))]

    def _built_of(self, name: str) -> tuple[str, str]:
        """The configuration of a host, and what says of what it is built and how, which may be secret."""
        variables = variables_of(self._task, name, self.task_vars["hostvars"])
        templar = Templar(loader=self._loader, variables=variables)
        said = [templar.template(variables.get(one)) for one in (_CONFIGURATION, *_BUILT_OF)]
        return str(said[0] or name), hashlib.sha256(json.dumps(said[1:], default=str).encode()).hexdigest()

    def attempt(self, host: Host, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of the work, or of its failure."""
        try:
            return work()
        except (HostError, FlakeError) as error:
            return _failure(host, self.explain(host, error), self.details(error))
        except AnsibleConnectionFailure as error:
            if not (host.reached or host.undecided):
                # The first contact: for Ansible such a host is unreachable.
                raise
            said = str(error).replace(BEGUN, "").strip()
            return _failure(host, f"lost the connection to {host.name}: {said}", {"reason": Refusal.LOST})
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # A mistake of ours, or the end of the task's own `timeout`, which is no Exception. Ansible makes a result
            # of it that says nothing of what goes on on the host.
            if not host.undecided:
                raise
            host.tell_more(traceback.format_exc())
            return _failure(host, f"{type(error).__name__}: {error}", {})

    def common_file(self, name: str, task: Any = None) -> Path:
        """A place for what the processes of all hosts of this task, or of another, have in common; it is gone when
        Ansible ends."""
        key = hashlib.sha256(f"{(task or self._task)._uuid} {name}".encode(errors="surrogateescape")).hexdigest()[:32]
        return self._of_this_run(key)

    def _found_at(self, name: str) -> Path:
        """A place for the address at which a host was found, for all tasks of this run."""
        return self._of_this_run(f"found-at-{_hashed(name)}")

    def _answered(self, name: str) -> Path:
        """What is there once a host has answered in this run."""
        return self._of_this_run(f"answered-{_hashed(name)}")

    def _remember_who_answered(self) -> None:
        for name, host in self._reached.items():
            if host.reached:
                # The host has done its work, whatever becomes of this.
                with suppress(OSError):
                    self._answered(name).touch()

    def _of_this_run(self, name: str) -> Path:
        # Ansible makes its constants as it starts.
        return Path(constants.DEFAULT_LOCAL_TMP, f"deploy-flake-{name}")  # type: ignore[attr-defined]

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Do the work; the result is what the module's documentation says."""
        raise NotImplementedError

    def explain(self, host: Host, error: Exception) -> str:
        """The message of a failure."""
        hint = _HINTS.get(getattr(error, "reason", ""), "")
        return f"{error}; {hint}" if hint else str(error)

    def details(self, error: Exception) -> dict[str, Any]:
        """Return values that a failure has beside its message."""
        result = dict(getattr(error, "result", {}))
        reason = getattr(error, "reason", "")
        return result | ({"reason": reason} if reason else {})


def _hashed(name: str) -> str:
    """A name as one of a file."""
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]


def _failure(host: Host, message: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a task that has failed, with what it leaves open."""
    if "state" in details or not host.undecided:
        return {"failed": True, "msg": message, **details}
    said = messages.undecided(host.name, host.undecided)
    return {"failed": True, "msg": f"{message}\n{said}" if said else message, **host.undecided, **details}


def _plain(value: Any) -> Any:
    """Ansible takes a string in a result, and no subclass of it. It shows it, so it has to be fit for a terminal."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {_plain(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


@cache
def argument_spec(module: str) -> dict[str, Any]:
    """The options of a module as Ansible checks them. They are written down once, in its documentation."""
    documentation = _documentation(f"{_COLLECTION}.modules.{module}", "DOCUMENTATION")
    options = dict(documentation.get("options", {}))
    for fragment in documentation.get("extends_documentation_fragment", []):
        if fragment.startswith("deploy_flake.nixos."):
            name = fragment.removeprefix("deploy_flake.nixos.")
            shared = import_module(f"{_COLLECTION}.doc_fragments.{name}")
            theirs = _load(shared.ModuleDocFragment.DOCUMENTATION).get("options", {})
            found = {key: dict(option) for key, option in theirs.items()}
            for secret in getattr(shared, "NO_LOG", ()):
                found[secret]["no_log"] = True
            for public in getattr(shared, "PUBLIC", ()):
                found[public]["no_log"] = False
            # What the module says itself goes first, as it does in ansible-doc.
            options = {**found, **options}
    return _spec(options)


def _spec(options: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for name, option in options.items():
        spec[name] = {key: option[key] for key in _SPEC_KEYS if key in option}
        if "suboptions" in option:
            spec[name] |= {"options": _spec(option["suboptions"]), "apply_defaults": True}
    return spec


def _documentation(module: str, attribute: str) -> Mapping[str, Any]:
    return _load(getattr(import_module(module), attribute))


def _load(text: str) -> Mapping[str, Any]:
    loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(loaded, dict):
        raise AnsibleError("the documentation of a module is not a mapping")
    return loaded
