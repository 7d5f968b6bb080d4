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

from bench.fleet import Fleet
from bench.process import Used, run

_HERE = Path(__file__).parent
FORKS = 32


class Contender(ABC):
    """One way to deploy a flake to all hosts of a fleet."""

    name = ""
    ssh = Path("/usr/bin/ssh")

    @abstractmethod
    def command(self, fleet: Fleet, directory: Path) -> list[str | Path]:
        """The command; the directory is its own for this run."""

    def environment(self, directory: Path) -> Mapping[str, str]:
        """Its environment."""
        return {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}

    def deploy(self, fleet: Fleet, number: int, ssh: Path | None = None) -> Used:
        """Deploy, with another ssh if one is given; no connection is left from an earlier run."""
        # In its name is nothing that ssh would have quoted, as in a ControlPath.
        plain = re.sub(r"\W+", "-", self.name)
        directory = fleet.directory / f"{plain}-{number}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        self.ssh = ssh or Path("/usr/bin/ssh")
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

    def __init__(self, programs: Path, collections: str) -> None:
        self._programs = programs
        self._collections = collections

    def environment(self, directory: Path) -> Mapping[str, str]:
        return {
            **super().environment(directory),
            # What docs/scale.md tells users to set.
            "ANSIBLE_CONFIG": str(_HERE.parent / "deploy_flake" / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": self._collections,
            "ANSIBLE_FORKS": str(FORKS),
            "ANSIBLE_HOME": str(directory / "ansible"),
        }

    def command(self, fleet: Fleet, directory: Path) -> list[str | Path]:
        settings = ["-e", f"deploy_flake_flake={fleet.flake}", "-e", '{"deploy_flake_limits": {"settle": 0}}']
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

    def __init__(self, program: Path) -> None:
        self._program = program

    def environment(self, directory: Path) -> Mapping[str, str]:
        return {**super().environment(directory), "ANSIBLE_HOME": str(directory / "ansible")}

    def command(self, fleet: Fleet, directory: Path) -> list[str | Path]:
        hosts: list[str | Path] = ["--inventory", fleet.lab.inventory, "--limit", fleet.limit]
        how = ["--yes", "--instrumentation", "plain", "--time-limit", "settle=0"]
        return [self._program, "deploy", *hosts, "--flake", str(fleet.flake), *how]

    def with_ssh(self, ssh: Path) -> Mapping[str, str]:
        return {"ANSIBLE_SSH_EXECUTABLE": str(ssh)}


class Peer(Contender):
    """Another tool. It finds the hosts by an ssh of its own on the PATH, as root: most know no sudo password."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def environment(self, directory: Path) -> Mapping[str, str]:
        return {**super().environment(directory), "PATH": f"{directory}:{os.environ['PATH']}", "HOME": str(directory)}

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
    """deploy-rs. It reads `deploy.nodes`, which the flake must have then (BENCH_FLAKE)."""

    name = "deploy-rs"

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


def peers() -> list[Contender]:
    """The peers on the PATH. Our own command has the name of the Rust tool, but it is no machine code."""
    found: list[Contender] = []
    for directory in os.environ["PATH"].split(os.pathsep):
        program = Path(directory, "deploy-flake")
        if os.access(program, os.X_OK) and _is_machine_code(program):
            found.append(RustDeployFlake(program))
            break
    kinds: dict[str, type[Peer]] = {"deploy": DeployRs, "nixos-rebuild": NixosRebuild, "colmena": Colmena}
    for name, peer in kinds.items():
        if there := shutil.which(name):
            found.append(peer(Path(there)))
    return found


def _is_machine_code(program: Path) -> bool:
    with program.open("rb") as file:
        return file.read(4) == b"\x7fELF"
