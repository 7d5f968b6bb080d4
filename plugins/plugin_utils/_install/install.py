# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installs NixOS on a machine that has booted an installer: evaluates, looks, builds, erases, installs, reboots."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._build.elsewhere import bring, build, evaluated
from .._build.settings import BuildContext, BuildSettings
from .._codes import Refusal, ResultState
from .._flake.store_path import is_built
from .._host import reboot as rebooting
from .._host.answer import Answer, HostError
from .._host.connection import Host
from . import installation
from .host_keys import known_hosts_lines, public_half, public_keys, write_known_hosts
from .installation import Installation, Job, result_of
from .settings import InstallSettings

_BUILD = ("config", "system", "build")
_INSTALLER = "nixos-install"
_STILL_THERE = 20
"""Seconds to find out whether the installer itself has booted again."""
# One evaluation for all that has to be known before anything is built. `disko` is the older name of `diskoScript`.
_WHAT_IT_IS = """c: let b = c.system.build; in {
  toplevel = builtins.unsafeDiscardStringContext b.toplevel.outPath;
  devices = map (d: toString d.device) (builtins.attrValues (c.disko.devices.disk or { }));
  script = if b ? diskoScript then "diskoScript" else if b ? disko then "disko" else "";
  installs = b ? nixos-install;
  root = toString (c.disko.rootMountPoint or "/mnt");
}"""


@dataclass(frozen=True)
class _Plan:
    """What the flake says of a host that is to be installed."""

    toplevel: str
    devices: tuple[str, ...]
    script: str
    """What has the disko script in system.build; "" for nothing."""
    installs: bool
    """Whether nixos-install is in there too."""
    root: str

    @classmethod
    def read(cls, said: Any, host: Host) -> _Plan:
        """Read what was evaluated; HostError where it cannot be meant."""
        try:
            plan = cls(said["toplevel"], tuple(said["devices"]), said["script"], said["installs"], said["root"])
            whole = all(isinstance(one, str) and "\n" not in one for one in (plan.root, *plan.devices))
        except (KeyError, TypeError) as error:
            raise HostError(
                f"what the flake says of {host.name} is not understood: {error}", Refusal.NO_ANSWER
            ) from error
        if not (whole and is_built(plan.toplevel) and plan.root.startswith("/") and plan.root != "/"):
            raise HostError(f"what the flake says of {host.name} is not understood: {said}", Refusal.NO_ANSWER)
        if not plan.script or not plan.devices:
            raise HostError(
                f"the flake does not say how the disks of {host.name} are to be: its configuration has no"
                f" {'disko.devices.disk' if plan.script else 'system.build.diskoScript'}. Nothing was done. Add disko"
                " (github:nix-community/disko) and disko.devices to it",
                Refusal.NO_DISKO,
            )
        return plan


def install(host: Host, settings: InstallSettings, context: BuildContext, directory: Path) -> dict[str, Any]:
    """All of it; the return values. `directory` is for what Ansible's end takes away, and nobody else reads."""
    public = [public_half(key, directory) for key in settings.host_keys]
    # Whoever logs in to the new system.
    user = host.login_user
    if settings.installer_user:
        host.log_in_as(settings.installer_user)
    plan = _Plan.read(evaluated(host, settings.beside("config"), context, _WHAT_IT_IS), host)
    seen = _look(host, settings, plan)
    if seen.get("runs"):
        return _already(host, plan)
    verb = "would erase" if context.check_mode else "is to erase"
    for disk in seen.all("erases"):
        host.tell(f"{verb} {disk}")
    job = _built(host, settings, context, plan, seen, public)
    if context.check_mode:
        return {**result_of(job, ResultState.WOULD_INSTALL), "rebooted": False, "known_hosts": [], "ssh_args": ""}
    done = Installation(host, settings, job).follow()
    if done.get("runs"):
        return _already(host, plan)
    keys = list(dict.fromkeys([*public, *public_keys(done.all("host_key"))]))
    if host.over_ssh and not keys:
        error = HostError(
            f"{host.name} is installed, and was not rebooted: no host key was given and there is none in"
            f" {job.root}/etc/ssh, so nobody could tell it from another machine. Give one"
            " (deploy_flake_install_host_keys), and run install again",
            Refusal.NO_HOST_KEY,
        )
        error.result = {"erased": True}
        raise error
    known = known_hosts_lines(host.address, host.port, keys) if host.over_ssh else []
    result = {**result_of(job, ResultState.INSTALLED), "known_hosts": known}
    if not settings.reboot:
        host.tell("is installed, and still runs the installer")
        return {**result, "rebooted": False, "ssh_args": ""}
    file = directory / f"deploy-flake-known-hosts-{hashlib.sha256(host.name.encode()).hexdigest()[:16]}"
    write_known_hosts(file, keys)
    arguments = _reboot(host, settings, job, seen.get("boot_id"), user, file, known)
    return {**result, "rebooted": True, "ssh_args": arguments}


def _look(host: Host, settings: InstallSettings, plan: _Plan) -> Answer:
    try:
        return installation.look(host, settings, plan.toplevel, plan.root, plan.devices)
    except HostError as error:
        if advice := _ADVICE.get(error.reason):
            message = f"{error}; nothing was erased. {advice.format(devices=' '.join(plan.devices), root=plan.root)}"
            raise HostError(message, error.reason, error.answer) from error
        raise


_ADVICE: Mapping[str, str] = {
    Refusal.NO_DISK: "Name the disk by a path that it has (deploy_flake_install_disks), and the same disk in the flake",
    Refusal.DISK_NOT_NAMED: (
        "If all on it may go, name it, best by its name in /dev/disk/by-id (deploy_flake_install_disks, --disk); the"
        " flake names {devices}"
    ),
    Refusal.DISK_IN_USE: (
        "Make sure that it is the right disk; then unmount it (umount), or stop what holds it (swapoff, mdadm --stop,"
        " vgchange -an, cryptsetup close, zpool export), and run install again"
    ),
    Refusal.RUNS_FROM_DISK: (
        "Deploy to it, if it is meant to stay (deploy-flake HOST). To install it anew, boot an installer there first"
    ),
    Refusal.NO_TOOL: "Boot a NixOS installer, which has all of them",
    Refusal.NO_SYSTEMD: "A NixOS installer does",
}


def _already(host: Host, plan: _Plan) -> dict[str, Any]:
    host.tell("runs the system that is to be installed")
    return {
        "changed": False,
        "state": ResultState.UNCHANGED,
        "toplevel": plan.toplevel,
        "disks": [],
        "rebooted": False,
        "known_hosts": [],
        "ssh_args": "",
    }


def _built(
    host: Host,
    settings: InstallSettings,
    context: BuildContext,
    plan: _Plan,
    seen: Answer,
    public: Sequence[str],
) -> Job:
    """Everything that is needed, in the store of the installer, before anything is erased."""
    installer = seen.get("installer")
    if not installer and not plan.installs:
        raise HostError(
            f"{host.name} has no {_INSTALLER}, and the flake's configuration has none in system.build; nothing was"
            " erased. Boot a NixOS installer",
            Refusal.NO_TOOL,
        )
    system, _answer = build(host, settings.build, context)
    other = replace(context, needs_system=False)
    script = _there(host, settings.beside(*_BUILD, plan.script), other)
    if not installer:
        installer = f"{_there(host, settings.beside(*_BUILD, _INSTALLER), other)}/bin/{_INSTALLER}"
    toplevel = str(system["toplevel"])
    what = [toplevel, script, plan.root, sorted(plan.devices), sorted(settings.disks), sorted(public)]
    name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
    return Job(name, toplevel, script, installer, plan.root, plan.devices)


def _there(host: Host, settings: BuildSettings, context: BuildContext) -> str:
    """Build something else of the configuration, so that the host has it; its store path."""
    result, _answer = build(host, settings, context)
    path = str(result["toplevel"])
    if result.get("built_on") and context.host_of is not None:
        bring(host, context.host_of(result["built_on"]), settings, path)
    return path


def _reboot(
    host: Host, settings: InstallSettings, job: Job, boot_id: str, user: str, file: Path, known: Sequence[str]
) -> str:
    """Reboot into the new system, and wait until it is up and has the key that it was given; ssh's arguments for it."""
    host.tell("is installed, and reboots into its new system")
    installation.reboot(host, settings, boot_id, job.root)
    before = host.ssh_arguments
    arguments = host.expect_host_keys(file)
    if settings.installer_user:
        host.log_in_as(user)
    began = time.monotonic()
    limit = settings.first_boot_timeout
    answer, said = rebooting.wait_until_up(host, boot_id, limit)
    if answer is None:
        raise _not_back(host, settings, job, boot_id, before, user, said, known, time.monotonic() - began)
    rebooting.require_up(host, answer, limit)
    rebooting.require_system(host, answer, job.toplevel)
    host.tell("has booted its new system")
    return arguments


def _not_back(
    host: Host,
    settings: InstallSettings,
    job: Job,
    boot_id: str,
    before: str,
    user: str,
    said: str,
    known: Sequence[str],
    after: float,
) -> HostError:
    """Whether it is the installer that has booted again, or still runs: it has another key, and is asked as before."""
    host.use_ssh_arguments(before)
    if settings.installer_user:
        host.log_in_as(settings.installer_user)
    seen, _said = rebooting.wait_until_up(host, boot_id, _STILL_THERE)
    lines = "".join(f"\n  {line}" for line in known)
    result = {"erased": True, "known_hosts": list(known)}
    if seen is not None:
        error = HostError(
            f"{host.name} is installed, but what has booted is not {job.toplevel} with the key that it was given: it"
            f" answers by the installer's key, with {seen.get('booted') or 'another system'}. Take the installer's"
            f" medium away, or have its firmware boot from {' or '.join(job.devices)}; then deploy to it. Its host key"
            f" is:{lines}",
            Refusal.OTHER_HOST_KEY,
        )
    else:
        error = HostError(
            f"{host.name} is installed, was told to reboot and has not come back within {after:.0f} s with the key"
            f" that it was given (last: {said}). Look at its console: does it boot from {' or '.join(job.devices)}? Has"
            f" it the same address, and does the new system let {user or 'you'} in? Once it is up, deploy to it. Its"
            f" host key is:{lines}",
            Refusal.NOT_BACK,
        )
    error.result = result
    return error
