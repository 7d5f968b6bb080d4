# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of a measurement, and the flake that is deployed to them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from bench.process import Broken
from lab import Host, Lab, keys

_HERE = Path(__file__).resolve().parent
T = TypeVar("T")
SHELL = "bash"
"""What NixOS has. The lab's hosts have others too, for the tests."""

# first: neither the flake nor any part of the system, kernel included, is on the host. changed: the flake has another
# version, so that every unit and the toplevel are others. no-op: all is there, runs, and is the boot default.
BARE = ("first", "changed", "no-op")
# changed once more, by ours with nothing set: the other kinds do not wait for units to settle, as others do not.
DEFAULTS = "changed, all defaults"
KINDS = (*BARE, DEFAULTS)
# What is beside a kind of those that are not measured with it: nothing is set for them, ever.
BESIDE = MappingProxyType({DEFAULTS: "changed"})


class Fleet:
    """Some hosts of the lab, with the `/bin/sh` of NixOS."""

    def __init__(self, lab: Lab, count: int, directory: Path, rounds: int = 0) -> None:
        self.rounds = rounds
        self.hosts = [host for host in lab.hosts.values() if host.number <= count]
        for host in self.hosts:
            host.have_shell(SHELL)
        self.lab = lab
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.flake = directory / "flake"
        self.ssh_config = directory / "ssh_config"
        self.ssh_config.write_text("".join(_ssh_config(host) for host in self.hosts), encoding="utf-8")

    @property
    def limit(self) -> str:
        """For Ansible's --limit."""
        return ",".join(host.name for host in self.hosts)

    def change(self, kind: str, version: str) -> None:
        """Make the flake what a deploy of this kind needs."""
        if kind == "no-op":
            return
        if not self.flake.exists():
            self._make_flake()
        _replace(self.flake / "hosts.nix", r'version = ".*"', f'version = "{version}"')
        if kind == "first":
            _replace(self.flake / "configuration.nix", r'kernelVersion = ".*"', f'kernelVersion = "6.12.1-{version}"')

    def _make_flake(self) -> None:
        if own := os.environ.get("BENCH_FLAKE"):
            shutil.copytree(own, self.flake)
            return
        shutil.copytree(_HERE.parent / "examples" / "flake", self.flake)
        (self.flake / "flake.nix").rename(self.flake / "example.nix")
        shutil.copytree(_HERE / "flake", self.flake, dirs_exist_ok=True)
        (self.flake / "rounds.nix").write_text(f"{self.rounds}\n", encoding="utf-8")

    def demand(self, version: str) -> None:
        """Make sure that every host runs and boots the version."""
        for host, (running, boots) in zip(self.hosts, self.each(_systems), strict=True):
            if not (running == boots and running.endswith(f"-{host.name}-25.11.{version}")):
                raise Broken(f"{host.name} runs {running} and boots {boots}, and not version {version}")

    def tidy(self) -> None:
        """Leave one generation on each host, so that no run finds more of them than another."""
        self.each(_tidy)

    def settle(self) -> None:
        """End what earlier logins have left: a user's manager that stops in the next switch is a failure of it."""
        self.each(_settle)

    def each(self, work: Callable[[Host], T]) -> list[T]:
        """Do something on every host, a few at a time."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(work, self.hosts))


def _systems(host: Host) -> tuple[str, str]:
    # By what starts them, since a profile may be a system wrapped in another one, as that of deploy-rs is.
    script = "readlink -f /run/current-system/init /nix/var/nix/profiles/system/init"
    running, boots = host.run(script, check=True).stdout.split()
    return running.removesuffix("/init"), boots.removesuffix("/init")


def _tidy(host: Host) -> None:
    script = """
    # Their boot entries go when the boot loader is written next.
    nix-env -p /nix/var/nix/profiles/system --delete-generations +1
    rm -f /nix/var/nix/gcroots/floor-*
    systemctl reset-failed
    """
    host.run(script, timeout=120)


def _settle(host: Host) -> None:
    script = """
    looks=100
    while [ -n "$(systemctl list-units --plain --no-legend 'session-*.scope')" ] && [ "$looks" -gt 0 ]; do
        sleep 0.1
        looks=$((looks - 1))
    done
    systemctl stop 'user@*.service'
    systemctl is-system-running --wait >/dev/null
    systemctl list-units --plain --no-legend 'session-*.scope' 'user@*.service'
    systemctl list-jobs --no-legend
    """
    if left := host.run(script, timeout=120).stdout.strip():
        raise Broken(f"{host.name} has not settled after the deploy before: {left}")


def _replace(file: Path, pattern: str, text: str) -> None:
    file.write_text(re.sub(pattern, text, file.read_text(encoding="utf-8"), count=1), encoding="utf-8")


def _ssh_config(host: Host) -> str:
    options = "".join(f"  {option.replace('=', ' ', 1)}\n" for option in host.ssh_options() if option != "-o")
    return (
        f"Host {host.name} {host.address}\n  HostName {host.address}\n  Port {host.port}\n  User {host.user}\n"
        f"  IdentityFile {keys.login_key(host.state)}\n  ControlMaster auto\n  ControlPersist 60\n{options}"
    )
