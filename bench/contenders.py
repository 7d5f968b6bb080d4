# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Those who deploy: the floor, the playbook, the command, and whatever peers there are on the PATH."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from bench.fleet import BARE, DEFAULTS, KINDS, Fleet
from bench.process import Broken, Used, run

_HERE = Path(__file__).parent
FORKS = 32
ONE_BUILDS = ", one builds for all"
# What Nix as it comes does not know by itself. It builds nothing on the controller, so it needs no users for that.
_NIX_CONFIG = "experimental-features = nix-command flakes\nbuild-users-group =\nsubstituters =\n"


class Contender(ABC):
    """One way to deploy a flake to all hosts of a fleet."""

    name = ""
    kinds: tuple[str, ...] = BARE
    """The kinds of deploys that it is measured with."""
    ssh = Path("/usr/bin/ssh")
    kind = "changed"

    def prepare(self, fleet: Fleet) -> None:
        """Put on the hosts what is there once it has deployed to them: for most, nothing."""
        del fleet

    @abstractmethod
    def command(self, fleet: Fleet, directory: Path) -> list[str | Path]:
        """The command; the directory is its own for this run."""

    def environment(self, directory: Path) -> Mapping[str, str]:
        """Its environment."""
        return {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}

    def deploy(self, fleet: Fleet, number: int, kind: str, ssh: Path | None = None) -> Used:
        """Deploy, with another ssh if one is given; no connection is left from an earlier run."""
        # In its name is nothing that ssh would have quoted, as in a ControlPath.
        plain = re.sub(r"\W+", "-", self.name)
        directory = fleet.directory / f"{plain}-{number}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        self.ssh = ssh or Path("/usr/bin/ssh")
        self.kind = kind
        environment = {**self.environment(directory), **(self.with_ssh(ssh) if ssh else {})}
        try:
            return run(self.command(fleet, directory), environment, Path("/"), fleet.directory / f"{plain}.log")
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def with_ssh(self, ssh: Path) -> Mapping[str, str]:
        """What makes it use this ssh."""
        return {}


class Floor(Contender):
    """The same work by hand."""

    name = "floor"

    def command(self, fleet: Fleet, directory: Path) -> list[str | Path]:
        lines = [f"{host.name} {host.sudo_password or '-'}\n" for host in fleet.hosts]
        (directory / "hosts").write_text("".join(lines), encoding="utf-8")
        return ["/bin/sh", _HERE / "floor.sh", fleet.flake, directory / "hosts", fleet.ssh_config, directory]

    def with_ssh(self, ssh: Path) -> Mapping[str, str]:
        return {"FLOOR_SSH": str(ssh)}


class Playbook(Contender):
    """ansible-playbook and the collection's own playbook."""

    name = "playbook"
    kinds = KINDS

    def __init__(self, programs: Path, collections: str, *, one_builds: bool = False) -> None:
        self._programs = programs
        self._collections = collections
        self._one_builds = one_builds
        if one_builds:
            self.name += ONE_BUILDS

    def environment(self, directory: Path) -> Mapping[str, str]:
        environment = {
            **super().environment(directory),
            "ANSIBLE_COLLECTIONS_PATH": self._collections,
            "ANSIBLE_HOME": str(directory / "ansible"),
        }
        if self.kind == DEFAULTS:
            # Not even a file of the one who measures.
            config = directory / "ansible.cfg"
            config.touch()
            return {**environment, "ANSIBLE_CONFIG": str(config)}
        # What docs/scale.md tells users to set.
        config = _HERE.parent / "deploy_flake" / "ansible.cfg"
        return {**environment, "ANSIBLE_CONFIG": str(config), "ANSIBLE_FORKS": str(FORKS)}

    def command(self, fleet: Fleet, directory: Path) -> list[str | Path]:
        settings = ["-e", f"deploy_flake_flake={fleet.flake}"]
        if self.kind != DEFAULTS:
            settings += ["-e", '{"deploy_flake_limits": {"settle": 0}}']
        if self._one_builds:
            settings += ["-e", f"deploy_flake_build_on={fleet.hosts[0].name}"]
        playbook: list[str | Path] = [
            self._programs / "ansible-playbook",
            "-i",
            fleet.lab.inventory,
            "--limit",
            fleet.limit,
        ]
        return [*playbook, *settings, "deploy_flake.nixos.deploy"]

    def with_ssh(self, ssh: Path) -> Mapping[str, str]:
        return {"ANSIBLE_SSH_EXECUTABLE": str(ssh)}


class Command(Contender):
    """The command deploy-flake of this project, as its wheel installs it."""

    name = "command"
    kinds = KINDS

    def __init__(self, program: Path, *, one_builds: bool = False) -> None:
        self._program = program
        self._one_builds = one_builds
        if one_builds:
            self.name += ONE_BUILDS

    def environment(self, directory: Path) -> Mapping[str, str]:
        return {**super().environment(directory), "ANSIBLE_HOME": str(directory / "ansible")}

    def command(self, fleet: Fleet, directory: Path) -> list[str | Path]:
        hosts: list[str | Path] = ["--inventory", fleet.lab.inventory, "--limit", fleet.limit]
        how = ["--yes", "--instrumentation", "plain"]
        if self.kind != DEFAULTS:
            how += ["--time-limit", "settle=0"]
        if self._one_builds:
            how += ["--build-on", fleet.hosts[0].name]
        return [self._program, "deploy", *hosts, "--flake", str(fleet.flake), *how]

    def with_ssh(self, ssh: Path) -> Mapping[str, str]:
        return {"ANSIBLE_SSH_EXECUTABLE": str(ssh)}


class Peer(Contender):
    """Another tool. It finds the hosts by an ssh of its own on the PATH, as root: most know no sudo password.

    That ssh shares one connection to each host, as ours and the floor's do.
    """

    def __init__(self, program: Path, nix: Path | None = None) -> None:
        self._program = program
        self._nix = nix

    def environment(self, directory: Path) -> Mapping[str, str]:
        path = [str(directory), *([str(self._nix)] if self._nix else []), os.environ["PATH"]]
        own = {"PATH": os.pathsep.join(path), "HOME": str(directory)}
        if self._nix:
            own["NIX_CONFIG"] = _NIX_CONFIG
        return {**super().environment(directory), **own}

    def command(self, fleet: Fleet, directory: Path) -> list[str | Path]:
        wrapper = directory / "ssh"
        arguments = ["-F", str(fleet.ssh_config), "-o", f"ControlPath={directory}/%n", "-o", "User=root"]
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.join([str(self.ssh), *arguments])} "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)
        return self.arguments(fleet)

    @abstractmethod
    def arguments(self, fleet: Fleet) -> list[str | Path]:
        """The command line."""


class RustDeployFlake(Peer):
    """deploy-flake, the Rust tool."""

    name = "deploy-flake (Rust)"

    def arguments(self, fleet: Fleet) -> list[str | Path]:
        hosts = [f"nixos://root@{host.address}/{host.name}" for host in fleet.hosts]
        return [self._program, "--flake", str(fleet.flake), *hosts]


class DeployRs(Peer):
    """deploy-rs, which reads `deploy.nodes`. The hosts build, and all of its defaults hold."""

    name = "deploy-rs"

    def prepare(self, fleet: Fleet) -> None:
        # With a flake that builds deploy-rs it would be a part of the first deployment's closure, and of no later one.
        program = self._program.resolve().with_name("activate")
        if not program.exists():
            raise Broken(f"{program} is missing, which deploy-rs starts on the hosts")
        directory = fleet.directory / "deploy-rs"
        directory.mkdir(exist_ok=True)
        shutil.copy(program, directory)
        fleet.each(lambda host: host.put(directory, "/usr/local/libexec/deploy-rs"))

    def arguments(self, fleet: Fleet) -> list[str | Path]:
        targets = [f"{fleet.flake}#{host.name}" for host in fleet.hosts]
        return [self._program, "--skip-checks", "--remote-build", "--targets", *targets]


class NixosRebuild(Peer):
    """nixos-rebuild, one for each host, all at once; the hosts build."""

    name = "nixos-rebuild"

    def arguments(self, fleet: Fleet) -> list[str | Path]:
        script = 'for host do "$program" switch --no-reexec --flake "$flake#$host" --target-host "root@$host"'
        script += ' --build-host "root@$host" & pids="$pids $!"; done; for pid in $pids; do wait "$pid" || exit 1; done'
        names = [host.name for host in fleet.hosts]
        values = ["env", f"program={self._program}", f"flake={fleet.flake}", "pids="]
        return [*values, "/bin/sh", "-c", script, "sh", *names]


class Colmena(Peer):
    """colmena. It reads `colmenaHive`, which the flake must have then (BENCH_FLAKE)."""

    name = "colmena"

    def arguments(self, fleet: Fleet) -> list[str | Path]:
        return [self._program, "--config", fleet.flake / "flake.nix", "apply", "--build-on-target", "--on", fleet.limit]


def peers(built: Path | None, nix: Path | None) -> list[Contender]:
    """The peers that were built, which get that Nix, and those on the PATH, which find theirs there.

    Our own command has the name of the Rust tool, but it is no machine code.
    """
    found: list[Contender] = []
    for directory in os.environ["PATH"].split(os.pathsep):
        program = Path(directory, "deploy-flake")
        if os.access(program, os.X_OK) and _is_machine_code(program):
            found.append(RustDeployFlake(program))
            break
    kinds: dict[str, type[Peer]] = {"deploy": DeployRs, "nixos-rebuild": NixosRebuild, "colmena": Colmena}
    for name, peer in kinds.items():
        if built and (built / name).exists():
            found.append(peer(built / name, nix))
        elif there := shutil.which(name):
            found.append(peer(Path(there)))
    return found


def _is_machine_code(program: Path) -> bool:
    with program.open("rb") as file:
        return file.read(4) == b"\x7fELF"
