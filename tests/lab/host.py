# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host of the lab, and everything that a test may do to it from outside."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from lab import cgroup, disk, keys, limits, mounts, network, reason
from lab.shell import LabError, run
from lab.state import State

PATH = "/run/wrappers/bin:/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SUDO_PASSWORD = "lab-sudo"
# What /bin/sh is: as on NixOS, as on Debian, and the smallest there is.
SHELLS = ("bash", "dash", "busybox")


class Host:
    """Hosts come in three shapes, in turn: root; deploy with a sudo password; deploy without one, sshd on port 2222."""

    boot_limit = 90.0
    # How long one that runs may take to say so.
    answer_limit = 10.0
    # How long Ansible waits for a connection, and for sudo's prompt, in seconds; 0 is what it does by itself.
    ssh_timeout = 0

    def __init__(self, state: State, name: str) -> None:
        self.state = state
        self.name = name
        self.number = int(name.removeprefix("host"))
        shape = (self.number - 1) % 3
        self.address = f"{state.subnet}.{self.number}"
        self.user = "root" if shape == 0 else "deploy"
        self.port = 2222 if shape == 2 else 22
        self.sudo_password = SUDO_PASSWORD if shape == 1 else None
        self.shell = SHELLS[shape]
        self.machine = f"{state.name}-{name}"
        self.directory = state.hosts / name
        self.boot = self.directory / "boot"
        self.console = self.directory / "console.log"
        self.cgroup = cgroup.host(state, name)

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.address}>"

    # What a host is doing

    @property
    def root(self) -> Path:
        """Its file system, as this machine sees it."""
        return self.directory / "root"

    @property
    def leader(self) -> int | None:
        """The process of this machine that is PID 1 inside the host."""
        return cgroup.leader(self.cgroup)

    @property
    def alive(self) -> bool:
        """Whether the power is on and something has booted."""
        return self.leader is not None

    @property
    def is_cut(self) -> bool:
        return (self.directory / "cut").exists()

    def run(
        self,
        command: str | Sequence[str],
        *,
        check: bool = False,
        timeout: float | None = 60,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside the host, from outside: it needs no ssh and no network.

        A string is for the host's /bin/sh; a list is run as it is.
        """
        pid = self.leader
        if pid is None:
            raise LabError(f"{self.name} is off")
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
        environment = {"PATH": PATH, "HOME": "/root", "USER": "root", "LANG": "C.UTF-8", **(env or {})}
        clean = ["/usr/bin/env", "-i", *(f"{key}={value}" for key, value in environment.items())]
        return run(
            ["nsenter", f"--target={pid}", *namespaces, "--", *clean, *argv], check=check, timeout=timeout, stdin=stdin
        )

    def put(self, tree: Path, to: str) -> None:
        """Copy a tree of this machine to the host, from outside."""
        shutil.copytree(tree, self.root / to.lstrip("/"), symlinks=True, dirs_exist_ok=True)

    def read(self, path: str) -> str:
        """A file of the host's disk; "" where there is none."""
        file = self.root / path.lstrip("/")
        return file.read_text() if file.exists() else ""

    def ssh_command(self, *command: str) -> list[str]:
        """The ssh command line to this host, with nothing of the caller's own configuration."""
        options = ["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *self.ssh_options()]
        key = str(keys.login_key(self.state))
        return ["ssh", *options, "-i", key, "-p", str(self.port), f"{self.user}@{self.address}", *command]

    def ssh_options(self) -> list[str]:
        return [
            *("-o", f"UserKnownHostsFile={self.state.known_hosts}", "-o", "GlobalKnownHostsFile=/dev/null"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"),
        ]

    def ssh(
        self, command: str, *, check: bool = False, timeout: float | None = 60, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command over ssh, as the host's user."""
        return run(self.ssh_command(command), check=check, timeout=timeout, stdin=stdin)

    def wait_running(self, timeout: float | None = None) -> None:
        """Wait until systemd says `running`; anything else it settles on is an error."""
        deadline = time.monotonic() + (timeout or self.boot_limit)
        word = "off"
        while time.monotonic() < deadline:
            try:
                left = max(1.0, deadline - time.monotonic())
                done = self.run(["systemctl", "is-system-running", "--wait"], timeout=left)
                word = done.stdout.strip() or done.stderr.strip() or word
            except (LabError, subprocess.TimeoutExpired):
                # Off, or between two boots, or hanging.
                if not cgroup.populated(self.cgroup):
                    break
            if word == "running":
                return
            if word in ("degraded", "maintenance"):
                break
            time.sleep(0.05)
        raise LabError(f"{self.name} is not running but {word}; {self._trouble()}")

    def wait_ssh(self, timeout: float) -> None:
        """Wait until sshd takes connections: systemd has been seen to say `running` a moment before."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection((self.address, self.port), 1).close()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise LabError(f"{self.name} runs and takes no connection on port {self.port}: {error}") from None
                time.sleep(0.05)
            else:
                return

    def wait_off(self, timeout: float | None = None) -> None:
        """Wait until a host that was told to power off has done so."""
        deadline = time.monotonic() + (timeout or self.boot_limit)
        while cgroup.populated(self.cgroup):
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} is still on")
            time.sleep(0.02)

    def logs(self) -> str:
        """The console, and the journal of every boot so far; also of a host that is off."""
        console = self.console.read_text(errors="replace") if self.console.exists() else ""
        command = ["journalctl", "--no-pager", f"--directory={self.root}/var/log/journal"]
        return f"{console}\n{run(command).stdout}"

    # What can happen to a host

    def cut(self) -> None:
        """Pull the network cable; it stays out across a reboot."""
        with self.state.locked():
            (self.directory / "cut").touch()
            network.cut(self.state, self.number)

    def mend(self) -> None:
        with self.state.locked():
            (self.directory / "cut").unlink(missing_ok=True)
            network.mend(self.state, self.number)

    def power_off(self) -> None:
        """Pull the plug: every process ends at once, and nothing is sent to anybody."""
        with self.state.locked():
            # First the cable, or the dying connections would be closed politely.
            network.cut(self.state, self.number)
            cgroup.kill(self.cgroup)
            network.unplug(self.state, self.number)

    def power_on(self, *, wait: bool = True) -> None:
        with self.state.locked():
            if cgroup.populated(self.cgroup):
                raise LabError(f"{self.name} is on already")
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
            command = [sys.executable, "-P", "-m", "lab.watcher", str(self.state.dir), self.name]
            with self.console.open("a") as console:
                watcher = subprocess.Popen(
                    command,
                    cwd="/",
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    start_new_session=True,
                )
            deadline = time.monotonic() + 60
            while not cgroup.populated(self.cgroup) and watcher.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
        if wait:
            self.wait_running()

    def reset(self, *, wait: bool = True) -> None:
        """Make the host as new: nothing that was written stays."""
        with self.state.locked():
            self.remove()
            self.create(self.layers())
            self.power_on(wait=False)
        if wait:
            self.wait_running()

    def fill_disk(self, leave_bytes: int = 0) -> None:
        disk.fill(self.directory / "disk", leave_bytes)

    def free_disk(self) -> None:
        disk.free(self.directory / "disk", disk.DISK_SIZE)

    def fill_boot(self, leave_bytes: int = 0) -> None:
        disk.fill(self.boot, leave_bytes)

    def free_boot(self) -> None:
        disk.free(self.boot, disk.BOOT_SIZE)

    # Making and removing a host

    def layers(self) -> list[Path]:
        """The layers of the image that this lab's hosts stand on."""
        return [Path(line) for line in (self.state.running / "layers").read_text().splitlines()]

    def create(self, layers: list[Path]) -> None:
        self.directory.mkdir(parents=True)
        disk.make(self.directory, layers)
        self.make_its_own()

    def make_its_own(self) -> None:
        """What one host has and another one has not."""
        etc = self.root / "etc"
        # The machine id is the host's own and lasts, so no boot but the image's is a first boot.
        machine_id = uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.{self.state.name}").hex
        (etc / "machine-id").write_text(f"{machine_id}\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n127.0.0.2 {self.name}\n")
        if self.port != 22:
            (etc / "ssh/lab-port.conf").write_text(f"Port {self.port}\n")
        key = keys.host_key(self.state, self.name)
        _write(etc / "ssh/ssh_host_ed25519_key", key.read_text(), 0o600)
        _write(etc / "ssh/ssh_host_ed25519_key.pub", f"{keys.public(key)}\n", 0o644)
        for home in (self.root / "root", self.root / "home/deploy"):
            owner = home.stat()
            authorized = home / ".ssh/authorized_keys"
            _write(authorized, f"{keys.public(keys.login_key(self.state))}\n", 0o600)
            os.chown(authorized, owner.st_uid, owner.st_gid)
        rule = "ALL" if self.sudo_password else "NOPASSWD: ALL"
        _write(etc / "sudoers.d/deploy", f"deploy ALL=(ALL:ALL) {rule}\n", 0o440)
        self.have_shell(self.shell)

    def have_shell(self, name: str) -> None:
        """Make one of them what /bin/sh is, until the lab is brought up the next time."""
        shell = self.root / "usr/bin/sh"
        # Nothing is written for nothing: a test may have left the disk full.
        if shell.readlink() == Path(name):
            return
        new = shell.with_name("sh.new")
        new.unlink(missing_ok=True)
        new.symlink_to(name)
        new.rename(shell)

    def remove(self) -> None:
        """Also of a host that a crashed command has left half made."""
        self.power_off()
        mounts.remove_tree(self.directory)
        mounts.remove_tree(Path("/run/systemd/nspawn/propagate") / self.machine)

    def _trouble(self) -> str:
        """What a person would look at first, on one line."""
        if self.alive:
            try:
                failed = self.run(["systemctl", "--failed", "--plain", "--no-legend"], timeout=10).stdout
                names = [line.split()[0] for line in failed.splitlines()]
                return f"failed units: {'; '.join(map(self._why_failed, names[:3])) or 'none'}"
            except (LabError, subprocess.TimeoutExpired):
                pass
        console = self.console.read_text(errors="replace") if self.console.exists() else ""
        return f"console: {reason.of_log(console)} (more: lab logs {self.name})"

    def _why_failed(self, unit: str) -> str:
        journal = ["journalctl", "--no-pager", "--boot", "--output=cat", "--lines=30", f"--unit={unit}"]
        why = reason.of_unit(self.run(journal, timeout=10).stdout)
        if "Too many open files" in why:
            why += f" (limits of this machine: {limits.said()})"
        return f"{unit}: {why}"


def _write(path: Path, text: str, mode: int) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
