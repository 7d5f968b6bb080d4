# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of the activation hangs in the kernel: no signal ends it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.faulting import (
    SHORT,
    SWITCH_LOCK,
    build,
    command_line,
    deploying,
    deploys_again,
    inside,
    is_whole,
    last_record,
    locked,
    next_system,
    processes,
    wait_for,
)
from integration.playing import systems

from lab import Host, Lab


@contextmanager
def frozen(host: Host, directory: str, image: Path) -> Iterator[None]:
    """A frozen file system in this directory of the host, as storage that has gone away: whoever writes to it hangs."""
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    loop = subprocess.run(["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True)
    device = loop.stdout.strip()
    try:
        number = os.stat(device).st_rdev
        node = f"/dev/lab-disk b {os.major(number)} {os.minor(number)}"
        host.run(f"mkdir -p {directory} && mknod {node} && mount /dev/lab-disk {directory}", check=True)
        subprocess.run(["fsfreeze", "--freeze", str(inside(host, directory))], check=True)
        try:
            yield
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(inside(host, directory))], check=True)
            wait_for(lambda: host.run(f"umount {directory}").returncode == 0)
            host.run("rm /dev/lab-disk")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def hanging(host: Host, directory: str) -> list[int]:
    """The deployment's processes that wait for this directory; others may sleep like that for a moment."""
    found = []
    for pid in processes(host):
        with contextlib.suppress(OSError):
            sleeps = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "D"
            if sleeps and directory in command_line(pid):
                found.append(pid)
    return found


def test_process_hangs_in_the_kernel(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """It can't be killed, and the lock of its switch stays held: the host goes back all the same, and says so."""
    host = whole["host1"]
    before, system = systems(host).running, build(host, "hangs-in-kernel")
    with frozen(host, "/var/frozen", tmp_path / "disk"):
        limits = SHORT | {"activate": 4}
        with deploying(lab, host, system, limits=limits, reconnect_timeout=60) as deployment:
            deployment.wait_for("activating")
            stuck = wait_for(lambda: hanging(host, "/var/frozen"))
            # As soon as switch-to-configuration lets go of it, which it would not if it hung itself.
            with locked(host, SWITCH_LOCK):
                assert deployment.end(150) != 0, deployment.output
        assert all(Path(f"/proc/{pid}").exists() for pid in stuck)
        assert systems(host).running == systems(host).boot_default == before
        assert "hang in the kernel and cannot be killed" in str(last_record(host)["notes"])
        with deploying(lab, host, next_system(host), lock_timeout=1) as again:
            assert again.end() != 0
            assert "processes of an earlier deployment that hang in the kernel" in again.output, again.output
    deploys_again(lab, host)
    assert last_record(host)["outcome"] == "committed"
    is_whole(host, systems(host).running, "committed")
