# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that powers one host: it boots what /boot names, and again after each reboot.

Started by Host.power_on as `python3 -m lab.watcher DIRECTORY HOST`. What it prints is the host's console.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lab import bootloader, cgroup, network
from lab.host import Host
from lab.shell import LabError
from lab.state import State

# What systemd-nspawn exits with when the host has rebooted.
REBOOTED = 133


def power(host: Host) -> None:
    """Boot until the host is powered off from inside; a power-off from outside kills this process as well."""
    while _boot(host) == REBOOTED:
        _console(host, "rebooting")
    network.unplug(host.state, host.number)


def _boot(host: Host) -> int:
    init = bootloader.init_of(host.boot)
    _console(host, f"booting {init}")
    netns = network.plug_in(host.state, host.number, cut=host.is_cut)
    # The lab has a lock of its own; nspawn's would leave files in /run when a host loses its power.
    environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_LOCK": "0"}
    code = subprocess.run(
        _nspawn(host, netns, init),
        env=environment,
        preexec_fn=lambda: cgroup.enter(host.cgroup / "machine"),
        check=False,
    ).returncode
    _console(host, f"off (systemd-nspawn exited {code})" if code != REBOOTED else "restarting")
    return code


def _nspawn(host: Host, netns: Path, init: str) -> list[str]:
    return [
        "systemd-nspawn",
        "--quiet",
        # There need be no systemd on this machine to register with.
        "--register=no",
        "--keep-unit",
        f"--machine={host.machine}",
        f"--hostname={host.name}",
        f"--directory={host.root}",
        f"--bind={host.boot}:/boot",
        f"--network-namespace-path={netns}",
        "--capability=CAP_NET_ADMIN",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--kill-signal=SIGRTMIN+3",
        # A host makes so many mounts in its first second that systemd would hold back mount units for another one.
        "--setenv=SYSTEMD_DEFAULT_MOUNT_RATE_LIMIT_BURST=100",
        init,
    ]


def _console(host: Host, text: str) -> None:
    print(f"[{host.name}: {text}]", flush=True)


def main() -> None:
    directory, name = sys.argv[1:]
    host = Host(State(Path(directory)), name)
    cgroup.enter(host.cgroup / "watcher")
    try:
        power(host)
    except LabError as error:
        _console(host, f"does not boot: {error}")


if __name__ == "__main__":
    main()
