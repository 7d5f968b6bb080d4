# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Made by `make generate` from the modules' documentation and tests/tools/options.yml. Do not edit.
# ruff: noqa: E501
"""The options that are variables of the role: as fields, and as flags of the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Flag(NamedTuple):
    """A flag of the command."""

    name: str
    field: str
    """The field of DeployOptions or RunOptions that it sets."""
    commands: tuple[str, ...]
    group: str
    kind: str
    metavar: str | None
    choices: tuple[str, ...] | None
    help: str


@dataclass(frozen=True, kw_only=True)
class RunVariables:
    """Variables of the role that every run may choose."""

    reconnect_timeout: int | None = None
    """How long to go on trying when a host stops answering."""


@dataclass(frozen=True, kw_only=True)
class DeployVariables:
    """Variables of the role that a deploy or a rollback may choose."""

    attribute: str | None = None
    """What to build of the flake in place of a configuration's system, such as `packages.x86_64-linux.hello`."""
    file: str | None = None
    """A file below the directory that is named as the flake, to build in place of a flake, such as
    `default.nix`."""
    build_on: Sequence[str] = ()
    """Hosts of the inventory that build for the others; of several each builds a share."""
    substitute: bool = False
    """With `build_on`, whether each host first fetches what it lacks from its own substituters."""
    compress: bool | None = None
    """With `build_on`, whether what was built is packed while it is sent."""
    sign_key: str | None = None
    """With `build_on`, a file on the builder with the secret key to sign with what was built."""
    check_signatures: bool = False
    """With `build_on`, whether what was built needs a signature that the host trusts."""
    build_args: Sequence[str] = ()
    """Further arguments for `nix build` on the hosts."""
    copy_inputs: str | None = None
    """Which inputs of the flake the controller fetches for hosts that lack them, missing, all or none."""
    copy_timeout: int | None = None
    """For one attempt to send the flake."""
    check_builds: bool | None = None
    """False only evaluates with `check`, and builds nothing: then less is known of what would happen."""
    build_timeout: int | None = None
    """For the build on a host."""
    test: bool | None = None
    """False makes the system the boot default without a test, and activates nothing."""
    on_older: str | None = None
    """What to do where the flake is older than what a host has committed, or has diverged from it: `warn`,
    `refuse` or `allow`."""
    expected_system: str | None = None
    """The system that has to be the boot default of the host before; any other one refuses the deployment."""
    specialisation: str | None = None
    """The specialisation to activate in place of the system itself, which becomes the boot default all the
    same."""
    until_reboot: bool = False
    """Whether the system, once it is confirmed, runs until the next reboot alone, and the boot default stays what
    it is."""
    health_policy: str | None = None
    """Which units may have failed: `strict` for none, `no_new_failures` for those that had failed before."""
    ignore_units: Sequence[str] = ()
    """Units that may fail, such as `backup.service` or `backup-*`."""
    allow: Sequence[str] = ()
    """What is refused otherwise: other_hostname, no_ssh, other_architecture, untested_boot_default,
    boot_not_mounted, unproven_way_in, user_failures, secrets_in_flake, little_space."""
    pre_activate_script: str | None = None
    """A file of the new system that is run before it is activated, and may refuse it; "" for none."""
    post_activate_script: str | None = None
    """A file of the new system that is run after it was activated, before it is confirmed, and may have it rolled
    back."""
    on_reboot_required: str | None = None
    """What to do with a system that needs a reboot: `fail`, `boot` (make it the boot default) or
    `boot_and_reboot`."""
    last_resort_reboot: str | None = None
    """When a host that cannot roll back otherwise reboots into its boot default: `never`, `auto` (where nobody
    could log in either) or `always`."""
    all_or_nothing: bool = False
    """No host commits unless every host is ready to."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Time limits of the phases on a host."""
    lock_timeout: int | None = None
    """How long to wait while another deployment is in progress on the host."""
    allow_unreachable: bool = False
    """Whether hosts that do not answer at the beginning are left out, and named at the end; where none answers
    that is no success."""
    install_disks: Sequence[str] = ()
    """The disks that may be ERASED, best in /dev/disk/by-id."""
    install_allow: Sequence[str] = ()
    """What an installation may do that is refused otherwise."""
    installer_user: str | None = None
    """Who logs in to the installer, where that is another user than later on; "" for the same."""
    serial: str | None = None
    """How many hosts, or what share of them ("25%"), are dealt with before the next are."""
    message: str | None = None
    """Why the system is deployed, for the record on the host (/var/lib/deploy-flake/deployments.jsonl)."""


CHOICES = {
    "copy_inputs": ("missing", "all", "none"),
    "on_older": ("warn", "refuse", "allow"),
    "health_policy": ("strict", "no_new_failures"),
    "allow": (
        "other_hostname",
        "no_ssh",
        "other_architecture",
        "untested_boot_default",
        "boot_not_mounted",
        "unproven_way_in",
        "user_failures",
        "secrets_in_flake",
        "little_space",
    ),
    "on_reboot_required": ("fail", "boot", "boot_and_reboot"),
    "last_resort_reboot": ("never", "auto", "always"),
    "limits": ("health", "check", "activate", "settle", "confirm", "commit", "rollback", "reboot"),
    "install_allow": ("data_on_disks", "installed_system", "several_hosts"),
}
"""Which values a field takes; a list its elements, a mapping its keys."""

NUMBERS = ("copy_timeout", "build_timeout", "lock_timeout", "reconnect_timeout")
"""The fields that are positive numbers."""

LISTS = ("build_on", "build_args", "ignore_units", "allow", "install_disks", "install_allow")
"""The fields that are lists."""

READS = {
    "deploy": (
        "deploy_flake_flake",
        "deploy_flake_configuration",
        "deploy_flake_toplevel",
        "deploy_flake_attribute",
        "deploy_flake_file",
        "deploy_flake_build_on",
        "deploy_flake_build_together",
        "deploy_flake_substitute",
        "deploy_flake_compress",
        "deploy_flake_fetch_timeout",
        "deploy_flake_sign_key",
        "deploy_flake_check_signatures",
        "deploy_flake_build_args",
        "deploy_flake_nix_config",
        "deploy_flake_copy_inputs",
        "deploy_flake_copy_timeout",
        "deploy_flake_check_builds",
        "deploy_flake_build_timeout",
        "deploy_flake_become",
        "deploy_flake_test",
        "deploy_flake_on_older",
        "deploy_flake_expected_system",
        "deploy_flake_specialisation",
        "deploy_flake_until_reboot",
        "deploy_flake_health_policy",
        "deploy_flake_ignore_units",
        "deploy_flake_allow",
        "deploy_flake_pre_activate_script",
        "deploy_flake_post_activate_script",
        "deploy_flake_on_reboot_required",
        "deploy_flake_last_resort_reboot",
        "deploy_flake_install_bootloader",
        "deploy_flake_min_free_space",
        "deploy_flake_secrets",
        "deploy_flake_remove_other_secrets",
        "deploy_flake_health_checks",
        "deploy_flake_checks",
        "deploy_flake_pre_activate_tasks",
        "deploy_flake_confirm_hosts",
        "deploy_flake_all_or_nothing",
        "deploy_flake_limits",
        "deploy_flake_lock_timeout",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_allow_unreachable",
        "deploy_flake_serial",
        "deploy_flake_hosts",
        "deploy_flake_allow_all",
        "deploy_flake_message",
    ),
    "rollback": (
        "deploy_flake_generation",
        "deploy_flake_rollback_toplevel",
        "deploy_flake_become",
        "deploy_flake_expected_system",
        "deploy_flake_specialisation",
        "deploy_flake_rollback_health_policy",
        "deploy_flake_ignore_units",
        "deploy_flake_allow",
        "deploy_flake_pre_activate_script",
        "deploy_flake_post_activate_script",
        "deploy_flake_on_reboot_required",
        "deploy_flake_last_resort_reboot",
        "deploy_flake_install_bootloader",
        "deploy_flake_min_free_space",
        "deploy_flake_health_checks",
        "deploy_flake_checks",
        "deploy_flake_confirm_hosts",
        "deploy_flake_all_or_nothing",
        "deploy_flake_limits",
        "deploy_flake_lock_timeout",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_allow_unreachable",
        "deploy_flake_serial",
        "deploy_flake_hosts",
        "deploy_flake_allow_all",
        "deploy_flake_message",
    ),
    "trial": (
        "deploy_flake_flake",
        "deploy_flake_configuration",
        "deploy_flake_toplevel",
        "deploy_flake_attribute",
        "deploy_flake_file",
        "deploy_flake_build_on",
        "deploy_flake_build_together",
        "deploy_flake_substitute",
        "deploy_flake_compress",
        "deploy_flake_fetch_timeout",
        "deploy_flake_sign_key",
        "deploy_flake_check_signatures",
        "deploy_flake_build_args",
        "deploy_flake_nix_config",
        "deploy_flake_copy_inputs",
        "deploy_flake_copy_timeout",
        "deploy_flake_build_timeout",
        "deploy_flake_become",
        "deploy_flake_on_older",
        "deploy_flake_health_policy",
        "deploy_flake_ignore_units",
        "deploy_flake_allow",
        "deploy_flake_pre_activate_script",
        "deploy_flake_min_free_space",
        "deploy_flake_confirm_hosts",
        "deploy_flake_limits",
        "deploy_flake_lock_timeout",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_allow_unreachable",
        "deploy_flake_serial",
        "deploy_flake_hosts",
        "deploy_flake_allow_all",
    ),
    "build": (
        "deploy_flake_flake",
        "deploy_flake_configuration",
        "deploy_flake_toplevel",
        "deploy_flake_attribute",
        "deploy_flake_file",
        "deploy_flake_out_link",
        "deploy_flake_build_on",
        "deploy_flake_build_together",
        "deploy_flake_substitute",
        "deploy_flake_compress",
        "deploy_flake_fetch_timeout",
        "deploy_flake_sign_key",
        "deploy_flake_check_signatures",
        "deploy_flake_build_args",
        "deploy_flake_nix_config",
        "deploy_flake_copy_inputs",
        "deploy_flake_copy_timeout",
        "deploy_flake_build_timeout",
        "deploy_flake_become",
        "deploy_flake_on_older",
        "deploy_flake_allow",
        "deploy_flake_min_free_space",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_allow_unreachable",
        "deploy_flake_serial",
        "deploy_flake_hosts",
    ),
    "install": (
        "deploy_flake_flake",
        "deploy_flake_configuration",
        "deploy_flake_toplevel",
        "deploy_flake_attribute",
        "deploy_flake_file",
        "deploy_flake_build_on",
        "deploy_flake_build_together",
        "deploy_flake_substitute",
        "deploy_flake_compress",
        "deploy_flake_fetch_timeout",
        "deploy_flake_sign_key",
        "deploy_flake_check_signatures",
        "deploy_flake_build_args",
        "deploy_flake_nix_config",
        "deploy_flake_copy_inputs",
        "deploy_flake_copy_timeout",
        "deploy_flake_check_builds",
        "deploy_flake_build_timeout",
        "deploy_flake_become",
        "deploy_flake_test",
        "deploy_flake_on_older",
        "deploy_flake_expected_system",
        "deploy_flake_specialisation",
        "deploy_flake_until_reboot",
        "deploy_flake_health_policy",
        "deploy_flake_ignore_units",
        "deploy_flake_allow",
        "deploy_flake_pre_activate_script",
        "deploy_flake_post_activate_script",
        "deploy_flake_on_reboot_required",
        "deploy_flake_last_resort_reboot",
        "deploy_flake_install_bootloader",
        "deploy_flake_min_free_space",
        "deploy_flake_secrets",
        "deploy_flake_remove_other_secrets",
        "deploy_flake_health_checks",
        "deploy_flake_checks",
        "deploy_flake_confirm_hosts",
        "deploy_flake_all_or_nothing",
        "deploy_flake_limits",
        "deploy_flake_lock_timeout",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_allow_unreachable",
        "deploy_flake_install_disks",
        "deploy_flake_install_allow",
        "deploy_flake_install_host_keys",
        "deploy_flake_installer_user",
        "deploy_flake_install_timeout",
        "deploy_flake_first_boot_timeout",
        "deploy_flake_serial",
        "deploy_flake_hosts",
        "deploy_flake_allow_all",
        "deploy_flake_message",
    ),
    "reboot": (
        "deploy_flake_become",
        "deploy_flake_health_policy",
        "deploy_flake_ignore_units",
        "deploy_flake_confirm_hosts",
        "deploy_flake_limits",
        "deploy_flake_lock_timeout",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_allow_unreachable",
        "deploy_flake_only_if_needed",
        "deploy_flake_serial",
        "deploy_flake_hosts",
        "deploy_flake_allow_all",
    ),
    "generations": (
        "deploy_flake_become",
        "deploy_flake_lock_timeout",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_allow_unreachable",
        "deploy_flake_keep",
        "deploy_flake_keep_days",
        "deploy_flake_serial",
        "deploy_flake_hosts",
        "deploy_flake_allow_all",
        "deploy_flake_collect_garbage",
        "deploy_flake_boot_timeout",
        "deploy_flake_garbage_timeout",
    ),
    "diff": (
        "deploy_flake_become",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_hosts",
        "deploy_flake_compare_from",
        "deploy_flake_compare_to",
        "deploy_flake_show",
    ),
    "profiles": (
        "deploy_flake_flake",
        "deploy_flake_configuration",
        "deploy_flake_file",
        "deploy_flake_profiles",
        "deploy_flake_build_on",
        "deploy_flake_build_together",
        "deploy_flake_substitute",
        "deploy_flake_compress",
        "deploy_flake_fetch_timeout",
        "deploy_flake_sign_key",
        "deploy_flake_check_signatures",
        "deploy_flake_build_args",
        "deploy_flake_nix_config",
        "deploy_flake_copy_inputs",
        "deploy_flake_copy_timeout",
        "deploy_flake_check_builds",
        "deploy_flake_build_timeout",
        "deploy_flake_become",
        "deploy_flake_on_older",
        "deploy_flake_health_policy",
        "deploy_flake_ignore_units",
        "deploy_flake_allow",
        "deploy_flake_pre_activate_script",
        "deploy_flake_post_activate_script",
        "deploy_flake_min_free_space",
        "deploy_flake_confirm_hosts",
        "deploy_flake_limits",
        "deploy_flake_lock_timeout",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_allow_unreachable",
        "deploy_flake_serial",
        "deploy_flake_hosts",
        "deploy_flake_allow_all",
        "deploy_flake_message",
    ),
    "revoke": (
        "deploy_flake_become",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_reason",
        "deploy_flake_hosts",
    ),
    "status": (
        "deploy_flake_flake",
        "deploy_flake_configuration",
        "deploy_flake_become",
        "deploy_flake_reconnect_timeout",
        "deploy_flake_addresses",
        "deploy_flake_hosts",
        "deploy_flake_show",
        "deploy_flake_revisions",
    ),
}
"""The variables of the role that each playbook reads."""

FLAGS = (
    Flag(
        name="--attribute",
        field="attribute",
        commands=("deploy", "trial", "build", "install"),
        group="source",
        kind="text",
        metavar="PATH",
        choices=None,
        help="what to build of the flake in place of a configuration's system, as packages.x86_64-linux.hello",
    ),
    Flag(
        name="--file",
        field="file",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="text",
        metavar="FILE",
        choices=None,
        help="a file below the directory that --flake names, to build in place of a flake, as default.nix",
    ),
    Flag(
        name="--build-on",
        field="build_on",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="list",
        metavar="HOST",
        choices=None,
        help="a host of the inventory that builds for the others; of several each builds a share",
    ),
    Flag(
        name="--substitute",
        field="substitute",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="switch",
        metavar=None,
        choices=None,
        help="what is built elsewhere each host first fetches from its own substituters, as far as they have it",
    ),
    Flag(
        name="--compress",
        field="compress",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="run-or-skip",
        metavar=None,
        choices=("run", "skip"),
        help="skip: with --build-on what was built is sent as it is, for fast networks",
    ),
    Flag(
        name="--sign-key",
        field="sign_key",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="text",
        metavar="FILE",
        choices=None,
        help="a file on the builder with the secret key to sign with what is built elsewhere",
    ),
    Flag(
        name="--check-signatures",
        field="check_signatures",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="switch",
        metavar=None,
        choices=None,
        help="what is built elsewhere needs a signature that the host trusts",
    ),
    Flag(
        name="--build-cmdline",
        field="build_args",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="words",
        metavar="COMMAND",
        choices=None,
        help="'nix build' with further arguments, as one word",
    ),
    Flag(
        name="--copy-inputs",
        field="copy_inputs",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="text",
        metavar=None,
        choices=("missing", "all", "none"),
        help="which inputs the controller fetches for hosts that lack them: missing, all or none (default: missing)",
    ),
    Flag(
        name="--copy-timeout",
        field="copy_timeout",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="number",
        metavar="SECONDS",
        choices=None,
        help="for one attempt to send the flake (default: 600)",
    ),
    Flag(
        name="--check-builds",
        field="check_builds",
        commands=("deploy", "install", "profiles"),
        group="source",
        kind="run-or-skip",
        metavar=None,
        choices=("run", "skip"),
        help="skip: with --check evaluate only, and build nothing",
    ),
    Flag(
        name="--build-timeout",
        field="build_timeout",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="number",
        metavar="SECONDS",
        choices=None,
        help="for the build on a host (default: 7200)",
    ),
    Flag(
        name="--test",
        field="test",
        commands=("deploy", "install"),
        group="test",
        kind="run-or-skip",
        metavar=None,
        choices=("run", "skip"),
        help="skip: make it the boot default without a test, and activate nothing; then nothing is promised",
    ),
    Flag(
        name="--on-older",
        field="on_older",
        commands=("deploy", "trial", "build", "install", "profiles"),
        group="source",
        kind="text",
        metavar=None,
        choices=("warn", "refuse", "allow"),
        help="what to do where the flake is older than what a host has committed, or has diverged from it (default: warn)",
    ),
    Flag(
        name="--expected-system",
        field="expected_system",
        commands=("deploy", "rollback", "install"),
        group="test",
        kind="text",
        metavar="PATH",
        choices=None,
        help="refuse a host whose boot default is another system; for several hosts set deploy_flake_expected_system for each",
    ),
    Flag(
        name="--specialisation",
        field="specialisation",
        commands=("deploy", "rollback", "install"),
        group="test",
        kind="text",
        metavar="NAME",
        choices=None,
        help="activate this specialisation of it; after a reboot the system itself runs",
    ),
    Flag(
        name="--until-reboot",
        field="until_reboot",
        commands=("deploy", "install"),
        group="test",
        kind="switch",
        metavar=None,
        choices=None,
        help="keep it live until the next reboot alone, as nixos-rebuild test does; the boot default stays what it is",
    ),
    Flag(
        name="--health-policy",
        field="health_policy",
        commands=("deploy", "rollback", "trial", "reboot", "profiles"),
        group="test",
        kind="text",
        metavar=None,
        choices=("strict", "no_new_failures"),
        help="which units may have failed (default: strict; for a rollback no_new_failures)",
    ),
    Flag(
        name="--ignore-unit",
        field="ignore_units",
        commands=("deploy", "rollback", "trial", "install", "reboot", "profiles"),
        group="test",
        kind="list",
        metavar="PATTERN",
        choices=None,
        help="a unit that may fail",
    ),
    Flag(
        name="--allow",
        field="allow",
        commands=("deploy", "rollback", "trial", "build", "install", "profiles"),
        group="test",
        kind="list",
        metavar=None,
        choices=(
            "other_hostname",
            "no_ssh",
            "other_architecture",
            "untested_boot_default",
            "boot_not_mounted",
            "unproven_way_in",
            "user_failures",
            "secrets_in_flake",
            "little_space",
        ),
        help="what is refused otherwise",
    ),
    Flag(
        name="--pre-activate-script",
        field="pre_activate_script",
        commands=("deploy", "rollback", "trial", "install", "profiles"),
        group="test",
        kind="text",
        metavar="FILE",
        choices=None,
        help="a file of the new system that may refuse it (default: pre-activate-safety-checks)",
    ),
    Flag(
        name="--post-activate-script",
        field="post_activate_script",
        commands=("deploy", "rollback", "install", "profiles"),
        group="test",
        kind="text",
        metavar="FILE",
        choices=None,
        help="a file of the new system that is run once it is live",
    ),
    Flag(
        name="--on-reboot-required",
        field="on_reboot_required",
        commands=("deploy", "rollback", "install"),
        group="test",
        kind="text",
        metavar=None,
        choices=("fail", "boot", "boot_and_reboot"),
        help="what to do with a system that needs a reboot (default: fail)",
    ),
    Flag(
        name="--last-resort-reboot",
        field="last_resort_reboot",
        commands=("deploy", "rollback", "install"),
        group="test",
        kind="text",
        metavar=None,
        choices=("never", "auto", "always"),
        help="when a host that cannot roll back otherwise reboots into its boot default (default: auto)",
    ),
    Flag(
        name="--all-or-nothing",
        field="all_or_nothing",
        commands=("deploy", "rollback", "install"),
        group="test",
        kind="switch",
        metavar=None,
        choices=None,
        help="no host commits unless every host is ready to",
    ),
    Flag(
        name="--time-limit",
        field="limits",
        commands=("deploy", "rollback", "trial", "install", "reboot", "profiles"),
        group="test",
        kind="limits",
        metavar="PHASE=SECONDS",
        choices=None,
        help="a time limit on the hosts; PHASE is one of health, check, activate, settle, confirm, commit, rollback, reboot",
    ),
    Flag(
        name="--lock-timeout",
        field="lock_timeout",
        commands=("deploy", "rollback", "trial", "install", "reboot", "generations", "profiles"),
        group="test",
        kind="number",
        metavar="SECONDS",
        choices=None,
        help="how long to wait while another deployment is in progress on the host (default: 300)",
    ),
    Flag(
        name="--reconnect-timeout",
        field="reconnect_timeout",
        commands=(
            "deploy",
            "rollback",
            "trial",
            "build",
            "install",
            "reboot",
            "generations",
            "profiles",
            "revoke",
            "status",
        ),
        group="hosts",
        kind="number",
        metavar="SECONDS",
        choices=None,
        help="how long to go on trying when a host stops answering (default: 300)",
    ),
    Flag(
        name="--allow-unreachable",
        field="allow_unreachable",
        commands=("deploy", "rollback", "trial", "build", "install", "reboot", "generations", "profiles"),
        group="hosts",
        kind="switch",
        metavar=None,
        choices=None,
        help="hosts that do not answer at the beginning are left out, and named at the end",
    ),
    Flag(
        name="--disk",
        field="install_disks",
        commands=("install",),
        group="source",
        kind="list",
        metavar="PATH",
        choices=None,
        help="a disk that may be ERASED, best in /dev/disk/by-id",
    ),
    Flag(
        name="--install-allow",
        field="install_allow",
        commands=("install",),
        group="source",
        kind="list",
        metavar="WHAT",
        choices=("data_on_disks", "installed_system", "several_hosts"),
        help="what an installation may do that is refused otherwise: data_on_disks, installed_system, several_hosts",
    ),
    Flag(
        name="--installer-user",
        field="installer_user",
        commands=("install",),
        group="source",
        kind="text",
        metavar="USER",
        choices=None,
        help="who logs in to the installer, where that is another user than later on",
    ),
    Flag(
        name="--serial",
        field="serial",
        commands=("deploy", "rollback", "trial", "build", "install", "reboot", "generations", "profiles"),
        group="test",
        kind="text",
        metavar="N",
        choices=None,
        help="so many hosts, or such a share (25%), before the next",
    ),
    Flag(
        name="--message",
        field="message",
        commands=("deploy", "rollback", "install", "profiles"),
        group="test",
        kind="text",
        metavar="TEXT",
        choices=None,
        help="why the system is deployed, for the record on the host (/var/lib/deploy-flake/deployments.jsonl)",
    ),
)
