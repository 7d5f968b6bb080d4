# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab needs of the machine it runs on."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab import reason
from lab.shell import LabError, say

# A command (or file), and the Debian package that has it.
PACKAGES = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "mount": "mount",
    "journalctl": "systemd",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
# What machines need beside.
MACHINE_PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "/usr/share/OVMF/OVMF_CODE_4M.fd": "ovmf",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "sfdisk": "fdisk",
}

CAP_NET_ADMIN = 12
CAP_SYS_ADMIN = 21


def check_machine() -> None:
    """Say in one line why the lab cannot work here, or return."""
    if sys.platform != "linux":
        raise LabError(f"the lab needs Linux, this is {sys.platform}")
    if os.geteuid() != 0:
        raise LabError("the lab must be run by root: it starts containers and makes network links")
    rights = _capabilities()
    if any(not rights >> number & 1 for number in (CAP_NET_ADMIN, CAP_SYS_ADMIN)):
        raise LabError("root may not mount or make network links here; is this a container without privileges?")
    filesystems = Path("/proc/filesystems").read_text()
    if "overlay" not in filesystems and subprocess.run(["modprobe", "overlay"], check=False).returncode:
        raise LabError("this kernel has no overlay file system")


def complete_path() -> None:
    """Administrators' commands are not on everybody's PATH, not even on that of a root made by `su`."""
    path = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    os.environ["PATH"] = ":".join([*path, *(entry for entry in ("/usr/sbin", "/sbin") if entry not in path)])


def install_packages(*, machines: bool = False) -> None:
    wanted = {**PACKAGES, **(MACHINE_PACKAGES if machines else {})}
    missing = sorted({package for thing, package in wanted.items() if not _present(thing)})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise LabError(f"these packages are missing, and there is no apt-get to install them: {' '.join(missing)}")
    say(f"installing packages: {' '.join(missing)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Two labs may be started at the same time; apt-get itself does not wait for all of its locks.
    with open("/run/lock/deploy-flake-lab-packages", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            options = ["-qq", "--option=DPkg::Lock::Timeout=300"]
            done = subprocess.run(["apt-get", *options, *command], env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                raise LabError(f"apt-get {command[0]} failed: {reason.of_log(done.stdout + done.stderr)}")
    still = sorted(thing for thing in wanted if not _present(thing))
    if still:
        raise LabError(f"still missing after installing packages: {' '.join(still)}")


def _capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), 16)


def _present(thing: str) -> bool:
    return Path(thing).exists() if thing.startswith("/") else shutil.which(thing) is not None
