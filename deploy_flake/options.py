# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be chosen: for every run of the collection's playbooks, and for a deploy. Times are in seconds.

The options that are variables of the role are in `generated_options`, made from the modules' own documentation.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from deploy_flake.generated_options import CHOICES, LISTS, NUMBERS, READS, DeployVariables, RunVariables

FORKS = 32
PREFIX = "deploy_flake_"
SYSTEMS = ("previous", "running", "booted", "boot-default")
"""Systems that `diff` compares, beside generations and store paths."""


class OptionError(ValueError):
    """Options that make no sense, alone or together."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(RunVariables):
    """How to reach the hosts and how to run Ansible."""

    inventory: Sequence[str] = ()
    """Sources of an existing Ansible inventory; then its hosts are meant, all of them or those of `limit`."""
    limit: str | None = None
    """As ansible-playbook's --limit."""
    parallel: int | None = None
    """How many hosts at a time; None for what ANSIBLE_FORKS or ansible.cfg say, else 32."""
    become_password: str | None = None
    """For sudo on the hosts. It is answered to ansible-playbook's own prompt, and written nowhere."""
    extra_vars: Sequence[str] = ()
    """As ansible-playbook's -e, each. They are seen in its command line; `variables` are not."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Variables such as `deploy_flake_nix_config`. They win over everything else."""
    ssh_args: str | None = None
    """More arguments for ssh, as ansible-playbook's --ssh-extra-args."""
    verbosity: int = 0
    """As many as there are v in -vvv."""
    artifacts: str | Path | None = None
    """A directory in which ansible-runner's files stay; None for a temporary one that is removed."""

    def __post_init__(self) -> None:
        _types_fit(self)
        _can_be_written(self.variables)
        _refuse_misspelt(self.variables, self.extra_vars)
        _lists(inventory=self.inventory, extra_vars=self.extra_vars)
        _positive(parallel=self.parallel)
        _variables_make_sense(self, RunVariables)

    def arguments(self) -> list[str]:
        """Arguments for ansible-playbook."""
        found = [f"--limit={self.limit}"] if self.limit else []
        found += [f"--extra-vars={each}" for each in self.extra_vars]
        found += [f"--ssh-extra-args={self.ssh_args}"] if self.ssh_args else []
        found += ["--ask-become-pass"] if self.become_password is not None else []
        return found + ([f"-{'v' * self.verbosity}"] if self.verbosity else [])

    def role_variables(self) -> dict[str, Any]:
        """Variables for the playbooks."""
        return _chosen(self, RunVariables)


@dataclass(frozen=True, kw_only=True)
class DeployOptions(DeployVariables):
    """How to deploy, or to roll back. What is None or empty is what the inventory or the role say."""

    check: bool = False
    """Copy, build, tell what would happen, and change no host's system."""
    diff: bool = False
    """Tell which packages, units and sizes change; with `check` or without."""
    preflight_check: bool = True
    """False takes units that have failed already as they are (the policy `no_new_failures`)."""

    def __post_init__(self) -> None:
        _types_fit(self)
        _variables_make_sense(self, DeployVariables)
        if not self.preflight_check and self.health_policy == "strict":
            raise OptionError("the policy 'strict' can't be had with the preflight check skipped")
        if self.serial is not None and not self.serial.removesuffix("%").isdigit():
            raise OptionError(f"serial is a number of hosts or a share such as 25%, and not {self.serial!r}")
        if self.specialisation and self.test is False:
            raise OptionError("a specialisation can only be tested live; it can't be with the test skipped")
        if self.until_reboot and (self.test is False or self.all_or_nothing):
            other = "all or nothing" if self.all_or_nothing else "the test skipped"
            raise OptionError(f"until_reboot is about a live test that is not kept; it can't be with {other}")
        if self.until_reboot and self.on_reboot_required not in (None, "fail"):
            raise OptionError(f"until_reboot can't be with on_reboot_required '{self.on_reboot_required}'")
        if self.all_or_nothing and self.test is False:
            raise OptionError("all or nothing is about systems that are tested; it can't be with the test skipped")

    def arguments(self) -> list[str]:
        """Arguments for ansible-playbook."""
        return ["--check"] * self.check + ["--diff"] * self.diff

    def role_variables(self) -> dict[str, Any]:
        """Variables for the playbooks; only those that were chosen, so that an inventory's stay."""
        policy = {} if self.preflight_check else {f"{PREFIX}health_policy": "no_new_failures"}
        return policy | _chosen(self, DeployVariables)


def _chosen(options: Any, kind: type[Any]) -> dict[str, Any]:
    """Every variable that is not what it is where nobody chooses."""
    nothing = kind()
    values = {one.name: getattr(options, one.name) for one in fields(kind)}
    return {
        f"{PREFIX}{name}": list(value) if name in LISTS else dict(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value != getattr(nothing, name) and (name not in LISTS or value)
    }


def _variables_make_sense(options: Any, kind: type[Any]) -> None:
    values = {one.name: getattr(options, one.name) for one in fields(kind)}
    _lists(**{name: value for name, value in values.items() if name in LISTS})
    _positive(**{name: value for name, value in values.items() if name in NUMBERS})
    for name in CHOICES.keys() & values.keys():
        value = values[name]
        for one in [value] if isinstance(value, str | bool) else value or ():
            if one not in CHOICES[name]:
                raise OptionError(f"{name} takes {', '.join(CHOICES[name])}, and not {one!r}")


def _types_fit(options: Any) -> None:
    """Python does not look at types; a wrong one would be noticed while hosts are deployed to."""
    for name, kind in get_type_hints(type(options)).items():
        value = getattr(options, name)
        if not _fits(value, kind):
            # Its value may be a password.
            raise OptionError(f"{name} is {_in_words(kind)}, and not of type {type(value).__name__}")


def _fits(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in parts)
    if kind is Any:
        return True
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is Sequence:
        # A string is refused by itself, with better words.
        return isinstance(value, str) or (isinstance(value, Sequence) and all(_fits(one, parts[0]) for one in value))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(k, parts[0]) and _fits(v, parts[1]) for k, v in value.items())
    return isinstance(value, kind)


def _in_words(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_in_words(one) for one in get_args(kind))
    if get_origin(kind) is Sequence:
        return f"a list of {get_args(kind)[0].__name__}"
    return getattr(kind, "__name__", str(kind)).replace("NoneType", "None")


def _can_be_written(variables: Mapping[str, Any]) -> None:
    """They go to ansible-playbook as JSON."""
    for name, value in variables.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise OptionError(f"the variable {name} cannot be given to Ansible: {error}") from error


def _refuse_misspelt(variables: Mapping[str, Any], extra_vars: Sequence[str]) -> None:
    """What files and an inventory have is looked at by the playbook, before it touches a host as well."""
    known = {name for names in READS.values() for name in names}
    named = [word.partition("=")[0] for text in extra_vars if text[:1] not in ("@", "{", "[") for word in _words(text)]
    for name in [*variables, *named]:
        if name.startswith(PREFIX) and name not in known:
            near = get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], n=1)
            raise OptionError(f"there is no variable {name}{f'; did you mean {PREFIX}{near[0]}?' if near else ''}")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        # Ansible says what it makes of it.
        return []


def _lists(**values: Sequence[str]) -> None:
    """A string is a sequence of strings too, and never what was meant."""
    for name, value in values.items():
        if isinstance(value, str):
            raise OptionError(f"{name} is a list")


def _positive(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < 1:
            raise OptionError(f"{name} is a positive number, and not {value!r}")


def build_arguments(command_line: str) -> list[str]:
    """The arguments in deploy-flake's `--build-cmdline`, which begins with `nix build`. Raises OptionError."""
    words = shlex.split(command_line)
    if words[:2] == ["nix", "build"]:
        return words[2:]
    if words[:1] and not words[0].startswith("-"):
        raise OptionError(f"hosts build with 'nix build' and further arguments; {words[0]!r} can't take its place")
    return words
