# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installs NixOS on a machine that has booted an installer: evaluates, looks, builds, erases, installs, reboots."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from .._build.elsewhere import bring, build, evaluated
from .._build.settings import BuildContext, BuildSettings
from .._codes import Refusal, ResultState
from .._flake.store_path import is_built
from .._host import reboot as rebooting
from .._host.answer import Answer, HostError
from .._host.connection import Host, lets_nobody_in
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
  kind = toString ((c.fileSystems."/" or { }).fsType or "");
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
    kind: str
    """Of the root file system; "" where that is not said."""

    @classmethod
    def read(cls, said: Any, host: Host) -> _Plan:
        """Read what was evaluated; HostError where it cannot be meant."""
        try:
            root = f"/{os.path.normpath(said['root']).lstrip('/')}" if said["root"].startswith("/") else ""
            plan = cls(**{**said, "devices": tuple(said["devices"]), "root": root})
            whole = all(isinstance(one, str) and "\n" not in one for one in (plan.root, *plan.devices))
        except (AttributeError, KeyError, TypeError) as error:
            raise HostError(
                f"what the flake says of {host.name} is not understood: {error}", Refusal.NO_ANSWER
            ) from error
        if not (whole and is_built(plan.toplevel) and plan.root not in ("", "/")):
            raise HostError(f"what the flake says of {host.name} is not understood: {said}", Refusal.NO_ANSWER)
        if not plan.script or not plan.devices:
            raise HostError(
                f"the flake does not say how the disks of {host.name} are to be: its configuration has no"
                f" {'disko.devices.disk' if plan.script else 'system.build.diskoScript'}. Nothing was done. Add disko"
                " (github:nix-community/disko) and disko.devices to it",
                Refusal.NO_DISKO,
            )
        if plan.kind in ("tmpfs", "ramfs"):
            raise HostError(
                f"the root file system of {host.name} is a {plan.kind}, on which a host key and the mark that it is"
                " installed would be lost; nothing was done. Install it with nixos-anywhere, or by hand",
                Refusal.NO_DISKO,
            )
        return plan


def install(host: Host, settings: InstallSettings, context: BuildContext, directory: Path) -> dict[str, Any]:
    """All of it; the return values. `directory` is for what Ansible's end takes away, and nobody else reads."""
    public = [public_half(key) for key in settings.host_keys]
    named = [f"{key.path} {half}" for key, half in zip(settings.host_keys, public, strict=True)]
    # Whoever logs in to the new system.
    user = host.login_user
    if settings.installer_user:
        host.log_in_as(settings.installer_user)
    try:
        plan, seen = _looked(host, settings, context)
    except AnsibleConnectionFailure as failure:
        if not settings.installer_user or host.reached or not lets_nobody_in(failure):
            raise
        plan, seen = _without_the_installer(host, settings, context, user, failure)
    if seen.get("runs"):
        return _already(host, plan, seen)
    verb = "would erase" if context.check_mode else "is to erase"
    for disk in seen.all("erases"):
        host.tell(f"{verb} {disk}")
    job = _built(host, settings, context, plan, seen, named)
    if context.check_mode:
        return {**result_of(job, ResultState.WOULD_INSTALL), "rebooted": False, "known_hosts": [], "ssh_args": ""}
    with _advised(plan):
        done = Installation(host, settings, job, seen.get("boot_id")).follow()
    if done.get("runs"):
        return _already(host, plan, done)
    keys = list(dict.fromkeys([*public, *public_keys(done.all("host_key"))]))
    if host.over_ssh and not keys:
        error = HostError(
            f"{host.name} is installed, and was not rebooted: no host key was given and there is none in"
            f" {job.root}/etc/ssh, so nobody could tell it from another machine. Give one"
            " (deploy_flake_install_host_keys), allow 'data_on_disks' (deploy_flake_install_allow) since it is"
            " installed anew then, and run install again",
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
    # Whatever becomes of it, and of this run: nobody else says by which key to know it.
    for line in known:
        host.tell(f"its line in known_hosts: {line}")
    with _known_by(known):
        arguments = _reboot(host, settings, job, seen.get("boot_id"), user, file)
    return {**result, "rebooted": True, "ssh_args": arguments}


def _looked(host: Host, settings: InstallSettings, context: BuildContext) -> tuple[_Plan, Answer]:
    """What is to be, and what the host says to that."""
    plan = _Plan.read(evaluated(host, settings.beside("config"), context, _WHAT_IT_IS), host)
    with _advised(plan):
        return plan, installation.look(host, settings, plan.toplevel, plan.root, plan.devices)


def _without_the_installer(
    host: Host, settings: InstallSettings, context: BuildContext, user: str, why: AnsibleConnectionFailure
) -> tuple[_Plan, Answer]:
    """Where nobody lets the installer's user in, it may be installed already; nothing else is done as another user."""
    host.tell(
        f"does not let {settings.installer_user} in; asking as {user or 'yourself'} whether it is installed already"
    )
    host.log_in_as(user)
    try:
        plan, seen = _looked(host, settings, context)
    except (AnsibleError, HostError) as error:
        host.tell_more(f"nor does it say so: {error}")
        raise why from None
    if not seen.get("runs"):
        raise why
    return plan, seen


@contextmanager
def _advised(plan: _Plan) -> Iterator[None]:
    """What the host refuses before it erases anything says so, and what to do."""
    try:
        yield
    except HostError as error:
        if not error.answer or not (advice := _ADVICE.get(error.reason)):
            raise
        message = f"{error}; {_what_was_erased(error.answer)}. {advice.format(devices=' '.join(plan.devices))}"
        failure = HostError(message, error.reason, error.answer)
        if error.answer.get("erased"):
            failure.result = {"erased": True}
        raise failure from error


def _what_was_erased(answer: Answer) -> str:
    before = "nothing was erased by this run, but disks were by an earlier one since its boot"
    return before if answer.get("erased") else "nothing was erased"


@contextmanager
def _known_by(known: Sequence[str]) -> Iterator[None]:
    """A failure of what is installed says by which key to know it."""
    try:
        yield
    except HostError as error:
        lines = "".join(f"\n  {line}" for line in known)
        failure = HostError(
            f"{error}{f'. Its lines in known_hosts:{lines}' if lines else ''}", error.reason, error.answer
        )
        failure.result = {"erased": True, "known_hosts": list(known)}
        raise failure from error


_ADVICE: Mapping[str, str] = {
    Refusal.NO_DISK: "Name the disk by a path that it has (deploy_flake_install_disks), and the same disk in the flake",
    Refusal.DISK_NOT_NAMED: (
        "If all on it may go, name it, best by its name in /dev/disk/by-id (deploy_flake_install_disks, --disk); the"
        " flake names {devices}"
    ),
    Refusal.DISK_IN_USE: (
        "Make sure that it is the right disk; then unmount it (umount -R), or stop what holds it (swapoff, mdadm"
        " --stop, vgchange -an, cryptsetup close, zpool export), and run install again"
    ),
    Refusal.DISK_OF_SEVERAL: (
        "Make sure that nobody needs it. Then stop what it belongs to, and clear each of its partitions and it at once,"
        " before udev puts that together again (wipefs --all)"
    ),
    Refusal.HAS_DATA: (
        "If it is installed already, boot it and deploy to it. If all on it may go, allow 'data_on_disks'"
        " (deploy_flake_install_allow, --install-allow)"
    ),
    Refusal.INSTALLED_SYSTEM: (
        "Deploy to it, if it is meant to stay (deploy-flake HOST). Else boot an installer there; or, for a rescue"
        " system on a disk of its own, allow 'installed_system' (deploy_flake_install_allow, --install-allow)"
    ),
    Refusal.NO_ANSWER: "Look there yourself, with findmnt and lsblk; boot an installer whose awk works",
    Refusal.NO_TOOL: "Boot a NixOS installer, which has all of them",
    Refusal.NO_SYSTEMD: "A NixOS installer does",
}


def _already(host: Host, plan: _Plan, answer: Answer) -> dict[str, Any]:
    host.tell("runs the system that is to be installed")
    keys = public_keys(answer.all("host_key"))
    return {
        "changed": False,
        "state": ResultState.UNCHANGED,
        "toplevel": plan.toplevel,
        "disks": [],
        "rebooted": False,
        "known_hosts": known_hosts_lines(host.address, host.port, keys) if host.over_ssh else [],
        "ssh_args": "",
    }


def _built(
    host: Host,
    settings: InstallSettings,
    context: BuildContext,
    plan: _Plan,
    seen: Answer,
    keys: Sequence[str],
) -> Job:
    """Everything that is needed, in the store of the installer, before anything is erased."""
    installer = seen.get("installer")
    if not installer and not plan.installs:
        raise HostError(
            f"{host.name} has no {_INSTALLER}, and the flake's configuration has none in system.build;"
            f" {_what_was_erased(seen)}. Boot a NixOS installer",
            Refusal.NO_TOOL,
        )
    system, _answer = build(host, settings.build, context)
    other = replace(context, needs_system=False)
    script = _there(host, settings.beside(*_BUILD, plan.script), other)
    if not installer:
        installer = f"{_there(host, settings.beside(*_BUILD, _INSTALLER), other)}/bin/{_INSTALLER}"
    toplevel = str(system["toplevel"])
    what = [toplevel, script, plan.root, sorted(plan.devices), sorted(settings.disks), sorted(keys)]
    name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
    return Job(name, toplevel, script, installer, plan.root, plan.devices)


def _there(host: Host, settings: BuildSettings, context: BuildContext) -> str:
    """Build something else of the configuration, so that the host has it; its store path."""
    result, _answer = build(host, settings, context)
    path = str(result["toplevel"])
    if result.get("built_on") and context.host_of is not None:
        bring(host, context.host_of(result["built_on"]), settings, path)
    return path


def _reboot(host: Host, settings: InstallSettings, job: Job, boot_id: str, user: str, file: Path) -> str:
    """Reboot into the new system, and wait until it is up and has the key that it was given; ssh's arguments for it."""
    host.tell("is installed, and reboots into its new system")
    installation.reboot(host, settings, job, boot_id)
    before = host.ssh_arguments
    arguments = host.expect_host_keys(file)
    if settings.installer_user:
        host.log_in_as(user)
    began = time.monotonic()
    limit = settings.first_boot_timeout
    # Its first boot makes it slow to let anybody in.
    answer, said = rebooting.wait_until_up(host, boot_id, limit, gives_up_soon=False)
    if answer is None:
        raise _not_back(host, settings, job, boot_id, before, user, said, time.monotonic() - began)
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
    after: float,
) -> HostError:
    """What it is, where nobody with the new key has answered: whoever answers as the installer did is asked."""
    host.use_ssh_arguments(before)
    if settings.installer_user:
        host.log_in_as(settings.installer_user)
    try:
        seen = rebooting.look(host, _STILL_THERE)
    except (AnsibleError, HostError) as error:
        reason = Refusal.NOT_BACK
        text = (
            f"was told to reboot and has not come back within {after:.0f} s with the key that it was given (last:"
            f" {said}; by the installer's key: {error}). Look at its console: does it boot from"
            f" {' or '.join(job.devices)}? Has it the same address, and does the new system let {user or 'you'} in?"
            " Once it is up, deploy to it"
        )
    else:
        booted = seen.get("booted") or "a system that is not NixOS"
        if seen.get("boot_id") == boot_id:
            reason = Refusal.NO_REBOOT
            text = f"was told to reboot, and has not within {after:.0f} s. Reboot it by hand; then deploy to it"
        elif booted == job.toplevel:
            reason = Refusal.OTHER_HOST_KEY
            text = (
                "has booted its new system, and shows another host key than the one that it was given. Look where that"
                " system has its host keys (services.openssh.hostKeys)"
            )
        else:
            reason = Refusal.OTHER_SYSTEM
            text = (
                f"has booted {booted} in place of {job.toplevel}, as it does where the installer's medium is still in."
                f" Take that away, or have its firmware boot from {' or '.join(job.devices)}; then deploy to it"
            )
    return HostError(f"{host.name} is installed, and {text}", reason)
