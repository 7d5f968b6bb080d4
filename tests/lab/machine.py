# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is a virtual machine: a kernel, a boot loader and a disk of its own."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from lab import agent, machine_image, mounts, nbd, network, qemu
from lab.host import PATH, Host
from lab.machine_image import LOADERS
from lab.shell import LabError, sh
from lab.state import MAX_HOSTS, State

# The point at which a machine has come up for the first time.
AS_NEW = "as-new"


class Machine(Host):
    """It has the shape of a host of its number. An odd one has a BIOS and GRUB, an even one EFI and systemd-boot.

    Where all hosts are machines, those that have a container's number have EFI, as the example flake says of them.
    """

    # Emulated, beside others that are.
    boot_limit = 400.0
    answer_limit = 60.0
    ssh_timeout = 60

    def __init__(self, state: State, name: str) -> None:
        super().__init__(state, name)
        self.loader = LOADERS["grub" if self.number > MAX_HOSTS and self.number % 2 else "systemd-boot"]
        self.disk = self.directory / "disk"
        self.saved = state.running / "saved" / name
        """Each of its directories is the machine as it ran at some point."""

    @property
    def alive(self) -> bool:
        try:
            return bool((self.cgroup / "machine/cgroup.procs").read_text())
        except OSError:
            return False

    @property
    def leader(self) -> int | None:
        """Whoever asked for it would get at this machine's own files: qemu is in the same namespaces."""
        raise LabError(f"{self.name} is a machine: its processes cannot be seen from outside")

    @property
    def root(self) -> Path:
        if self.alive:
            raise LabError(f"{self.name} is a machine that is on: its files cannot be seen from outside")
        return super().root

    def run(
        self,
        command: str | Sequence[str],
        *,
        check: bool = False,
        timeout: float | None = 60,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """As on any host. An agent inside runs it, so this fails until that has started."""
        if not self.alive:
            raise LabError(f"{self.name} is off")
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        environment = {"PATH": PATH, "HOME": "/root", "USER": "root", "LANG": "C.UTF-8", **(env or {})}
        clean = ["/usr/bin/env", "-i", *(f"{key}={value}" for key, value in environment.items())]
        done = agent.run(self.directory / "agent.socket", [*clean, *argv], stdin, timeout)
        if check and done.returncode:
            raise LabError(f"{argv[-1]}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def put(self, tree: Path, to: str) -> None:
        """Copy a tree of the lab's machine to this one."""
        tar = ["tar", "--create", "--gzip", "--directory", str(tree), "."]
        packed = base64.b64encode(subprocess.run(tar, check=True, capture_output=True).stdout).decode()
        unpack = 'mkdir -p "$0" && base64 -d | tar --extract --gzip --no-same-owner --directory "$0"'
        self.run(["/bin/sh", "-c", unpack, to], stdin=packed, check=True)

    def read(self, path: str) -> str:
        """A file of the disk of a machine that is on; "" where there is none."""
        return self.run(["cat", path]).stdout

    @property
    def boot_id(self) -> str:
        """Another one after each boot; "" while nothing answers."""
        try:
            return self.run(["/usr/bin/cat", "/proc/sys/kernel/random/boot_id"], timeout=10).stdout.strip()
        except (LabError, subprocess.TimeoutExpired):
            return ""

    def logs(self) -> str:
        """The console of every boot so far, and the journal if the machine is on."""
        console = self.console.read_text(errors="replace") if self.console.exists() else ""
        try:
            return f"{console}\n{self.run(['journalctl', '--no-pager']).stdout}"
        except (LabError, subprocess.TimeoutExpired):
            return console

    def stopped(self) -> AbstractContextManager[None]:
        """Suspended from outside: no clock of its own goes on."""
        return qemu.stopped(self.directory)

    def lose_writes(self, eager: float) -> None:
        """How likely each write brings some of those that wait onto the disk, in no order; within half a second.

        At 0, as in the beginning, losing the power loses all that was not flushed.
        """
        qemu.eagerness(self.directory).write_text(str(eager))

    @contextmanager
    def recorded(self) -> Iterator[Path]:
        """Keep what is written to the disk, for `nbd.recorded`, until the end."""
        directory = qemu.recording(self.directory)
        directory.mkdir()
        try:
            deadline = time.monotonic() + 60
            while not nbd.recorded_base(directory).exists():
                if time.monotonic() > deadline:
                    raise LabError(f"the disk of {self.name} is not recorded")
                time.sleep(0.1)
            yield directory
        finally:
            mounts.remove_tree(directory)

    def fill_disk(self, leave_bytes: int = 0) -> None:
        self._fill("/var", leave_bytes)

    def free_disk(self) -> None:
        self.run("rm -f /var/lab-filler", check=True)

    def fill_boot(self, leave_bytes: int = 0) -> None:
        self._fill("/boot", leave_bytes)

    def free_boot(self) -> None:
        self.run("rm -f /boot/lab-filler", check=True)

    def _fill(self, where: str, leave_bytes: int) -> None:
        script = f"""
            free=$(df --output=avail --block-size=1 {where} | tail -n 1)
            [ "$free" -le {leave_bytes} ] || fallocate -l $((free - {leave_bytes})) {where}/lab-filler ||
                head -c $((free - {leave_bytes})) /dev/zero >{where}/lab-filler
        """
        self.run(script, check=True)

    def add_disk(self, name: str, size: int) -> None:
        """An empty disk, /dev/disk/by-id/virtio-NAME, plugged into a machine that is on, until it is off.

        With the one that is called `new` the machine reboots once, and the other disks are gone then.
        """
        disk = self.directory / f"disk-{name}"
        with disk.open("wb") as file:
            file.truncate(size)
        qemu.plug_in(self.directory, disk, name)
        wait = f"until [ -e /dev/disk/by-id/virtio-{name} ]; do sleep 0.2; done"
        self.run(["timeout", str(self.answer_limit), "/bin/sh", "-c", wait], check=True, timeout=2 * self.answer_limit)

    # Making

    def layers(self) -> list[Path]:
        return [machine_image.disk(self.state, self.loader)]

    def create(self, layers: list[Path]) -> None:
        self.directory.mkdir(parents=True)
        if self.has_saved(AS_NEW):
            self._take_saved(AS_NEW)
            return
        sh("cp", "--sparse=always", "--reflink=auto", layers[0], self.disk)
        if self.loader.name == "systemd-boot":
            shutil.copyfile(qemu.OVMF / "OVMF_VARS_4M.fd", qemu.firmware(self.directory))
        with self.mounted():
            self.make_its_own()
            (self.root / "etc/hostname").write_text(f"{self.name}\n")
            lines = (
                "ip link set lo up",
                "ip link set eth0 up",
                f"ip address add {self.address}/24 dev eth0",
                f"ip route add default via {self.state.controller_address}",
                # As DHCP does, where the system has no name of its own.
                f"grep -v -x localhost /proc/sys/kernel/hostname || echo {self.name} >/proc/sys/kernel/hostname",
            )
            (self.root / "etc/lab-network").write_text("\n".join(lines) + "\n")

    def power_on(self, *, wait: bool = True) -> None:
        """Boot, or go on from where this machine was saved if it was just made new."""
        resumed = (self.directory / qemu.STATE).exists()
        super().power_on(wait=False)
        if resumed:
            qemu.resume(self.directory)
            # It has missed what happened since.
            self.run(["date", "--set", f"@{time.time():.3f}"], check=True)
        if wait:
            self.wait_running()

    def save(self, point: str = AS_NEW) -> None:
        """Keep this machine as it runs now, with all that it has written on its disk.

        Once it is kept as new, it is made new without a boot.
        """
        unfinished = self.saved / f"{point}.unfinished"
        mounts.remove_tree(unfinished)
        unfinished.mkdir(parents=True)
        qemu.save(self.directory, unfinished)
        mounts.remove_tree(self.saved / point)
        unfinished.rename(self.saved / point)

    def has_saved(self, point: str) -> bool:
        return (self.saved / point).is_dir()

    def return_to(self, point: str) -> None:
        """Go on from a point at which it was saved."""
        # Copying takes seconds, and another machine's power may have to be lost in them: no lock.
        self.remove()
        self.directory.mkdir(parents=True)
        self._take_saved(point)
        self.power_on(wait=False)

    def _take_saved(self, point: str) -> None:
        sh("cp", "--sparse=always", "--reflink=auto", *(self.saved / point).iterdir(), self.directory)

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """The root of a machine that is off."""
        if self.alive:
            raise LabError(f"{self.name} is on: its disk is its own")
        mounts.partition(self.root, self.disk, machine_image.ROOT_START, machine_image.ROOT_SIZE)
        try:
            yield self.root
        finally:
            mounts.unmount(self.root)

    def power(self) -> int:
        """Be this machine's power until it is switched off from inside, in the process of the watcher."""
        tap, mac = network.plug_in_tap(self.state, self.number, cut=self.is_cut)
        return qemu.run(self.cgroup / "machine", self.directory, qemu.accelerator(self.state), tap, mac)
