# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task asks for, from its validated options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from .._codes import HealthPolicy, LastResortReboot, OnRebootRequired, Refusal
from .._flake.store_path import is_store_path
from .._host.answer import HostError
from .._printable import without_logins
from .._secrets.secret import Secret, read_all, secrets_from_option
from .limits import Limits


def store_path(option: str, path: str) -> str:
    if path and not is_store_path(path):
        raise HostError(f"{option} must be the store path of a system, and is {path!r}", Refusal.NOT_A_STORE_PATH)
    return path


@dataclass(frozen=True)
class Source:
    """Where a system came from, for the record on the host."""

    flake: str = ""
    revision: str = ""
    configuration: str = ""
    nar_hash: str = ""
    dirty: bool = False
    dirty_revision: str = ""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """What is known of it; the result of a build says it by the same names."""
        return cls(
            # Other programs read the record.
            flake=without_logins(options.get("flake") or ""),
            revision=options.get("revision") or "",
            configuration=options.get("configuration") or "",
            nar_hash=options.get("nar_hash") or "",
            dirty=bool(options.get("dirty")),
            dirty_revision=options.get("dirty_revision") or "",
        )


@dataclass(frozen=True)
class FreeSpace:
    """How much there must be before a deployment begins, in MiB."""

    nix: int
    boot: int | None
    """None for what the new system's kernels and initrds need; 0 for no look at it."""


@dataclass(frozen=True)
class Settings:
    """A deployment: which system, how careful to be with it, and how long to wait."""

    toplevel: str
    """The store path of the system; "" where it is not known yet."""
    specialisation: str
    expected_system: str
    """What has to be the boot default before; "" for any."""
    health_policy: HealthPolicy
    ignore_units: tuple[str, ...]
    pre_activate_script: str
    post_activate_script: str
    allow: tuple[str, ...]
    min_free_space: FreeSpace
    on_reboot_required: OnRebootRequired
    last_resort_reboot: LastResortReboot
    install_bootloader: bool
    all_or_nothing: bool
    limits: Limits
    message: str
    """Why, for the record on the host."""
    lock_timeout: int
    reconnect_timeout: int
    confirm: bool
    """Whether the task that tests confirms as well."""
    confirm_hosts: tuple[str, ...]
    source: Source
    secrets: tuple[Secret, ...] = ()
    remove_other_secrets: bool = False
    only_secrets: bool = False
    """Whether nothing else of the host is to change: the system is the one that it runs."""
    until_reboot: bool = False
    """Whether a system that is confirmed runs until the next reboot alone, and the boot default stays what it is."""

    def __post_init__(self) -> None:
        self._refuse_what_outlives_a_reboot()

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """The settings of a task that tests, confirms or makes a system the boot default."""
        space = options["min_free_space"]
        return cls(
            toplevel=options["toplevel"] or "",
            specialisation=options["specialisation"] or "",
            expected_system=store_path("expected_system", options["expected_system"] or ""),
            health_policy=HealthPolicy(options["health_policy"]),
            ignore_units=tuple(options["ignore_units"]),
            pre_activate_script=options["pre_activate_script"] or "",
            post_activate_script=options["post_activate_script"] or "",
            allow=tuple(options["allow"]),
            min_free_space=FreeSpace(nix=space["nix"], boot=space["boot"]),
            on_reboot_required=OnRebootRequired(options["on_reboot_required"]),
            last_resort_reboot=LastResortReboot(options["last_resort_reboot"]),
            install_bootloader=options["install_bootloader"],
            all_or_nothing=options["all_or_nothing"],
            limits=Limits.from_options(options),
            message=options["message"],
            lock_timeout=options["lock_timeout"],
            reconnect_timeout=options["reconnect_timeout"],
            # Not every module has these.
            confirm=options.get("confirm", False),
            confirm_hosts=tuple(options.get("confirm_hosts", ())),
            source=Source.from_options(options),
            secrets=secrets_from_option(options.get("secrets", ())),
            remove_other_secrets=options.get("remove_other_secrets", False),
            until_reboot=options.get("until_reboot", False),
        )

    @classmethod
    def for_secrets(cls, options: Mapping[str, Any]) -> Self:
        """The deployment of secrets alone; what is not about them is as a deployment has it by default."""
        return cls(
            **_beside_the_boot_side(options),
            pre_activate_script="",
            post_activate_script="",
            # What runs, runs; nothing of the boot side is touched.
            allow=("boot_not_mounted", "untested_boot_default", "no_ssh", "other_hostname", *options["allow"]),
            min_free_space=FreeSpace(nix=0, boot=0),
            confirm=options["confirm"],
            secrets=secrets_from_option(options["secrets"]),
            remove_other_secrets=options["remove_other_secrets"],
            only_secrets=True,
        )

    @classmethod
    def for_profiles(cls, options: Mapping[str, Any]) -> Self:
        """The deployments of profiles that are no NixOS system; nothing of the boot side is looked at."""
        return cls(
            **_beside_the_boot_side(options),
            pre_activate_script=options["pre_activate_script"] or "",
            post_activate_script=options["post_activate_script"] or "",
            allow=tuple(options["allow"]),
            min_free_space=FreeSpace(nix=options["min_free_space"]["nix"], boot=0),
            confirm=True,
        )

    @property
    def has_secrets(self) -> bool:
        """Whether the host is to be asked about secrets at all."""
        return bool(self.secrets) or self.remove_other_secrets or self.only_secrets

    def with_secrets_read(self) -> Self:
        """The same with the content of each secret; HostError where a command fails."""
        return replace(self, secrets=read_all(self.secrets))

    def of(self, toplevel: str, source: Source | None = None) -> Self:
        """The same for another system."""
        return replace(self, toplevel=toplevel, source=source or self.source)

    def refuse_without_step(self, strategy: str) -> None:
        """HostError for a fleet that commits everywhere or nowhere, where no host waits for the others."""
        if self.all_or_nothing and strategy:
            raise HostError(
                "a fleet that commits everywhere or nowhere has to keep step, and"
                f" with the strategy '{strategy}' no host waits for the others: some would commit before another one"
                " fails. Use the strategy 'linear', or leave 'all_or_nothing' out",
                Refusal.BAD_OPTION,
            )

    def _refuse_what_outlives_a_reboot(self) -> None:
        """HostError where a system is to run until the next reboot, and something else is to stay after it."""
        if not self.until_reboot:
            return
        others = {
            "secrets": self.has_secrets,
            f"on_reboot_required '{self.on_reboot_required}'": self.on_reboot_required != OnRebootRequired.FAIL,
            "install_bootloader": self.install_bootloader,
            "all_or_nothing": self.all_or_nothing,
        }
        if named := [name for name, given in others.items() if given]:
            raise HostError(
                "with 'until_reboot' the system runs until the next reboot alone, and nothing else of the host changes;"
                f" that cannot be with {' and '.join(named)}. Leave one of both out",
                Refusal.BAD_OPTION,
            )

    def refuse_without_test(self) -> None:
        """HostError where what is asked for can only be had of a system that is tested."""
        if self.until_reboot:
            raise HostError(
                "a system that is to run until the next reboot has to be tested live; leave 'until_reboot' out, or test"
                " the system",
                Refusal.BAD_OPTION,
            )
        if self.specialisation:
            raise HostError(
                "a specialisation can only be tried live: what boots by default is always the system that it belongs"
                " to; leave 'specialisation' out, or test the system",
                Refusal.SPECIALISATION_WITHOUT_TEST,
            )
        if self.all_or_nothing:
            raise HostError(
                "a fleet that commits everywhere or nowhere has to be tested; leave 'all_or_nothing' out, or test the"
                " system",
                Refusal.BAD_OPTION,
            )


def _beside_the_boot_side(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a deployment is told that makes nothing the boot default; what it is of, is said later."""
    return {
        "toplevel": "",
        "specialisation": "",
        "expected_system": "",
        "health_policy": HealthPolicy(options["health_policy"]),
        "ignore_units": tuple(options["ignore_units"]),
        "on_reboot_required": OnRebootRequired.FAIL,
        "last_resort_reboot": LastResortReboot.NEVER,
        "install_bootloader": False,
        "all_or_nothing": False,
        "limits": Limits.from_options(options),
        "message": options["message"],
        "lock_timeout": options["lock_timeout"],
        "reconnect_timeout": options["reconnect_timeout"],
        "confirm_hosts": tuple(options["confirm_hosts"]),
        "source": Source(),
    }


@dataclass(frozen=True)
class RebootSettings:
    """A reboot, or a boot of a system that is tried once."""

    toplevel: str
    """The store path of the system that is meant; "" for the boot default."""
    only_if_needed: bool
    trial: bool
    revert: bool
    health_policy: HealthPolicy
    ignore_units: tuple[str, ...]
    pre_activate_script: str
    allow: tuple[str, ...]
    limits: Limits
    lock_timeout: int
    reconnect_timeout: int
    confirm_hosts: tuple[str, ...]
    source: Source

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """The settings of a task that reboots."""
        return cls(
            toplevel=options["toplevel"] or "",
            only_if_needed=options["only_if_needed"],
            trial=options["trial"],
            revert=options["revert"],
            health_policy=HealthPolicy(options["health_policy"]),
            ignore_units=tuple(options["ignore_units"]),
            pre_activate_script=options["pre_activate_script"] or "",
            allow=tuple(options["allow"]),
            limits=Limits.from_options(options),
            lock_timeout=options["lock_timeout"],
            reconnect_timeout=options["reconnect_timeout"],
            confirm_hosts=tuple(options["confirm_hosts"]),
            source=Source.from_options(options),
        )

    def for_commit(self) -> Settings:
        """The deployment that makes a system that came up well the boot default: it has nothing to activate.

        What is not about it is as a deployment has it by default.
        """
        limits = replace(
            self.limits, health=60, check=60, activate=60, settle=0, confirm=60, rollback=self.limits.commit
        )
        return Settings(
            toplevel=self.toplevel,
            specialisation="",
            expected_system="",
            # Looked at already.
            health_policy=HealthPolicy.NO_NEW_FAILURES,
            ignore_units=self.ignore_units,
            pre_activate_script="",
            post_activate_script="",
            allow=self.allow,
            min_free_space=FreeSpace(nix=0, boot=0),
            on_reboot_required=OnRebootRequired.BOOT,
            last_resort_reboot=LastResortReboot.NEVER,
            install_bootloader=False,
            all_or_nothing=False,
            limits=limits,
            message="",
            lock_timeout=self.lock_timeout,
            reconnect_timeout=self.reconnect_timeout,
            confirm=False,
            confirm_hosts=(),
            source=self.source,
        )
