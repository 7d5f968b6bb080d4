# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running qemu: a machine with a disk, a network cable, a serial line for its console and one for the lab's agent."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import cgroup, nbd
from lab.shell import LabError, say, sh
from lab.state import State, boot_id

MEMORY = "1024"
# Emulated, a second one takes two thirds more of the time of this computer for the same boot.
CORES = 1
OVMF = Path("/usr/share/OVMF")
# What a machine without an accelerator has, so that the processor is the same everywhere.
TCG = ("-accel", "tcg,thread=multi", "-cpu", "Nehalem")
KVM = ("-accel", "kvm", "-cpu", "host")
PROBE_LIMIT = 20
# A machine that was saved as it ran: its memory and its devices.
STATE = "state"
RESUMED = "resumed"


def firmware(directory: Path) -> Path:
    """The variables of an EFI machine's firmware, which outlive its power."""
    return directory / "efi-variables"


def eagerness(directory: Path) -> Path:
    """A file with the number that says how eagerly the disk writes back."""
    return directory / "eager"


def recording(directory: Path) -> Path:
    """A directory, while what is written to the disk is kept in it."""
    return directory / "recording"


def new_disk(directory: Path) -> Path:
    """One beside that, which takes its place when the machine reboots, as in a firmware's boot order."""
    return directory / "disk-new"


def plug_in(directory: Path, disk: Path, serial: str) -> None:
    """Give a machine that is on one more disk. With one in the place of the new one it reboots from that."""
    with _monitor(directory) as ask:
        ask("blockdev-add", **{"driver": "raw", "node-name": serial, "file": {"driver": "file", "filename": str(disk)}})
        ask("device_add", driver="virtio-blk-pci", drive=serial, serial=serial, id=serial)
        if disk == new_disk(directory):
            ask("set-action", reboot="shutdown")


def run(group: Path, directory: Path, accelerator: tuple[str, ...], tap: str, mac: str) -> int:
    """Power a machine until it is powered off from inside. The disk's cache is in this process, and ends with it."""
    status = _run_once(group, directory, accelerator, tap, mac)
    if (new := new_disk(directory)).exists():
        (directory / "disk").rename(directory / "first-disk")
        new.rename(directory / "disk")
        status = _run_once(group, directory, accelerator, tap, mac)
    return status


def _run_once(group: Path, directory: Path, accelerator: tuple[str, ...], tap: str, mac: str) -> int:
    nbd.serve(nbd.Disk(directory / "disk"), directory / "disk.socket", eagerness(directory), recording(directory))
    nbd_socket, agent, monitor = (directory / f"{what}.socket" for what in ("disk", "agent", "monitor"))
    argv = [
        *_machine(accelerator, firmware(directory)),
        *("-qmp", f"unix:{monitor},server=on,wait=off"),
        *("-blockdev", f"driver=nbd,node-name=disk,server.type=unix,server.path={nbd_socket}"),
        *("-netdev", f"tap,id=cable,ifname={tap},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=cable,mac={mac},romfile="),
        *("-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={agent},server=on,wait=off"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
    ]
    if (state := directory / STATE).exists():
        # Only once: after that it boots.
        resumed = state.rename(directory / RESUMED)
        argv += ["-incoming", f"exec:cat {shlex.quote(str(resumed))}"]
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, preexec_fn=lambda: cgroup.enter(group), check=False
    ).returncode


def _machine(accelerator: tuple[str, ...], variables: Path) -> list[str]:
    """A computer with a node called disk, and a console; an EFI one where there are variables of its firmware."""
    argv = [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", *accelerator),
        *("-smp", str(CORES), "-m", MEMORY, "-display", "none", "-vga", "std", "-serial", "stdio"),
        *("-device", "virtio-rng-pci", "-device", "virtio-blk-pci,drive=disk,write-cache=on,bootindex=0"),
    ]
    if variables.exists():
        argv += ["-machine", "q35"]
        argv += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}"]
        argv += ["-drive", f"if=pflash,format=raw,file={variables}"]
    return argv


def starts(disk: Path, accelerator: tuple[str, ...], variables: Path, limit: float) -> str:
    """The init that this disk's boot loader, kernel and initrd come to start; "" where they start none in time."""
    argv = [*_machine(accelerator, variables), "-no-reboot"]
    argv += ["-blockdev", f"driver=raw,node-name=disk,file.driver=file,file.filename={disk}"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        timer = threading.Timer(limit, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                if found := re.search(rb"lab: starting (/\S+)", line):
                    return found[1].decode()
            return ""
        finally:
            timer.cancel()
            process.kill()


def save(directory: Path, target: Path) -> None:
    """Keep what is needed for the machine to go on from here later; it goes on now as well."""
    with _monitor(directory) as ask:
        # It flushes the disk, too. Who resumes it lets it go on.
        ask("stop")
        ask("migrate", uri=f"exec:cat >{shlex.quote(str(target / STATE))}")
        while (status := ask("query-migrate").get("status")) != "completed":
            if status == "failed":
                raise LabError("qemu cannot save the machine")
            time.sleep(0.1)
        for path in (directory / "disk", firmware(directory)):
            if path.exists():
                sh("cp", "--sparse=always", "--reflink=auto", path, target)
        ask("cont")


def resume(directory: Path) -> None:
    """Let a machine go on that was started with what was saved."""
    with _monitor(directory) as ask:
        while (status := ask("query-migrate").get("status")) != "completed":
            if status == "failed":
                raise LabError("qemu cannot go on with the machine that was saved")
            time.sleep(0.1)
        ask("cont")
    (directory / RESUMED).unlink()


@contextmanager
def stopped(directory: Path) -> Iterator[None]:
    """A machine that stands still, as one that its hypervisor suspends."""
    with _monitor(directory) as ask:
        ask("stop")
        try:
            yield
        finally:
            ask("cont")


@contextmanager
def _monitor(directory: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Questions to qemu itself, which may have been started a moment before."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        deadline = time.monotonic() + 60
        while line.connect_ex(str(directory / "monitor.socket")):
            if time.monotonic() > deadline:
                raise LabError(f"qemu does not answer: {directory}")
            time.sleep(0.1)
        reader = line.makefile("rb")
        reader.readline()

        def ask(command: str, **arguments: Any) -> dict[str, Any]:
            line.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            while True:
                answer = json.loads(reader.readline())
                if "error" in answer:
                    raise LabError(f"qemu: {command}: {answer['error']['desc']}")
                # Events come in between.
                if "return" in answer:
                    return dict(answer["return"])

        ask("qmp_capabilities")
        yield ask


def choose_accelerator(state: State, kernel: Path, initrd: Path) -> None:
    """KVM where a kernel runs with it, as a try shows, once after each boot of this machine; else none."""
    record = _record(state)
    if record.is_file() and record.read_text().split()[0] == boot_id():
        return
    works = _works(kernel, initrd)
    say("machines have KVM" if works else "machines are emulated: KVM does not work here")
    record.write_text(f"{boot_id()} {'kvm' if works else 'tcg'}\n")


def accelerator(state: State) -> tuple[str, ...]:
    """What was chosen."""
    return KVM if _record(state).read_text().split()[1] == "kvm" else TCG


def _record(state: State) -> Path:
    return state.dir / "accelerator"


def _works(kernel: Path, initrd: Path) -> bool:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    argv = [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", *KVM, "-smp", str(CORES), "-m", "256"),
        *("-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", str(kernel), "-initrd", str(initrd)),
        *("-append", "console=ttyS0 panic=-1 lab.probe"),
    ]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return False
    return b"lab: this kernel runs" in done.stdout
