# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be chosen: for every run of the collection's playbooks, and for a deploy. Times are in seconds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PHASES = ("health", "check", "activate", "settle", "confirm", "commit", "rollback", "reboot")
ALLOWABLE = ("other_hostname", "no_ssh", "other_architecture", "untested_boot_default")
REBOOT = ("fail", "boot", "boot_and_reboot")
POLICIES = ("strict", "no_new_failures")
FORKS = 32


class OptionError(ValueError):
    """Options that make no sense, alone or together."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
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
    reconnect_timeout: int | None = None
    """How long to go on trying when a host stops answering."""
    artifacts: Path | None = None
    """A directory in which ansible-runner's files stay; None for a temporary one that is removed."""

    def __post_init__(self) -> None:
        _lists(inventory=self.inventory, extra_vars=self.extra_vars)
        _positive(parallel=self.parallel, reconnect_timeout=self.reconnect_timeout)

    def arguments(self) -> list[str]:
        """Arguments for ansible-playbook."""
        found = [f"--limit={self.limit}"] if self.limit else []
        found += [f"--extra-vars={each}" for each in self.extra_vars]
        found += [f"--ssh-extra-args={self.ssh_args}"] if self.ssh_args else []
        found += ["--ask-become-pass"] if self.become_password is not None else []
        return found + ([f"-{'v' * self.verbosity}"] if self.verbosity else [])

    def role_variables(self) -> dict[str, Any]:
        """Variables for the playbooks."""
        given = {"deploy_flake_reconnect_timeout": self.reconnect_timeout}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class DeployOptions:
    """How to deploy, or to roll back. What is None is what the inventory or the role say."""

    check: bool = False
    """Copy, build, tell what would happen, and change no host's system."""
    diff: bool = False
    """Tell which packages, units and sizes change; with `check` or without."""
    check_builds: bool = True
    """False only evaluates with `check`, and builds nothing: then less is known of what would happen."""
    preflight_check: bool = True
    """False takes units that have failed already as they are (the policy `no_new_failures`)."""
    test: bool = True
    """False makes the system the boot default untried, and activates nothing."""
    specialisation: str | None = None
    """The specialisation to activate in place of the system itself, which becomes the boot default all the same."""
    health_policy: str | None = None
    """Which units may have failed: `strict` for none, `no_new_failures` for those that had failed before."""
    ignore_units: Sequence[str] = ()
    """Units that may fail, such as `backup.service` or `backup-*`."""
    allow: Sequence[str] = ()
    """What is refused otherwise: other_hostname, no_ssh, other_architecture, untested_boot_default."""
    on_reboot_required: str | None = None
    """What to do with a system that needs a reboot: `fail`, `boot` (make it the boot default) or `boot_and_reboot`."""
    pre_activate_script: str | None = None
    """A file of the new system that is run before it is activated, and may refuse it; "" for none."""
    build_args: Sequence[str] = ()
    """Further arguments for `nix build` on the hosts."""
    copy_timeout: int | None = None
    """For one attempt to send the flake to a host."""
    build_timeout: int | None = None
    """For the build on a host."""
    lock_timeout: int | None = None
    """How long to wait while somebody else deploys to a host."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Time limits of the phases on a host: health, check, activate, settle, confirm, commit, rollback, reboot."""
    all_or_nothing: bool = False
    """No host commits unless every host was tested and is ready to."""
    serial: str | None = None
    """How many hosts, or what share of them ("25%"), are dealt with before the next are."""

    def __post_init__(self) -> None:
        _lists(ignore_units=self.ignore_units, allow=self.allow, build_args=self.build_args)
        _positive(copy_timeout=self.copy_timeout, build_timeout=self.build_timeout, lock_timeout=self.lock_timeout)
        for name, value, possible in (
            ("health_policy", self.health_policy, POLICIES),
            ("on_reboot_required", self.on_reboot_required, REBOOT),
        ):
            if value is not None and value not in possible:
                raise OptionError(f"{name} is one of {', '.join(possible)}, and not {value!r}")
        for value in self.allow:
            if value not in ALLOWABLE:
                raise OptionError(f"allow takes {', '.join(ALLOWABLE)}, and not {value!r}")
        for phase in self.limits:
            if phase not in PHASES:
                raise OptionError(f"there is no time limit {phase!r}, but {', '.join(PHASES)}")
        if not self.preflight_check and self.health_policy == "strict":
            raise OptionError("the policy 'strict' can't be had with the preflight check skipped")
        if self.serial is not None and not self.serial.removesuffix("%").isdigit():
            raise OptionError(f"serial is a number of hosts or a share such as 25%, and not {self.serial!r}")
        if self.specialisation and not self.test:
            raise OptionError("a specialisation can only be tried live; it can't be with the test skipped")
        if self.all_or_nothing and not self.test:
            raise OptionError("all or nothing is about systems that are tested; it can't be with the test skipped")

    def arguments(self) -> list[str]:
        """Arguments for ansible-playbook."""
        return ["--check"] * self.check + ["--diff"] * self.diff

    def role_variables(self) -> dict[str, Any]:
        """Variables for the playbooks; only those that were chosen, so that an inventory's stay."""
        given: dict[str, Any] = {
            "test": None if self.test else False,
            "specialisation": self.specialisation,
            "health_policy": self.health_policy or (None if self.preflight_check else "no_new_failures"),
            "ignore_units": list(self.ignore_units) or None,
            "allow": list(self.allow) or None,
            "on_reboot_required": self.on_reboot_required,
            "pre_activate_script": self.pre_activate_script,
            "build_args": list(self.build_args) or None,
            "check_builds": None if self.check_builds else False,
            "copy_timeout": self.copy_timeout,
            "build_timeout": self.build_timeout,
            "lock_timeout": self.lock_timeout,
            "limits": dict(self.limits) or None,
            "all_or_nothing": self.all_or_nothing or None,
            "serial": self.serial,
        }
        return {f"deploy_flake_{name}": value for name, value in given.items() if value is not None}


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
