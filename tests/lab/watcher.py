# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that powers one host: it boots what /boot names, and again after each reboot.

Started by Host.power_on as `python3 -m lab.watcher DIRECTORY HOST`. What it prints is the host's console.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lab import bootloader, cgroup, network, nspawn
from lab.fleet import host_of
from lab.host import Host
from lab.machine import Machine
from lab.shell import LabError
from lab.state import State

# What systemd-nspawn exits with when the host has rebooted.
REBOOTED = 133


def power(host: Host) -> None:
    """Boot until the host is powered off from inside; a power-off from outside kills this process as well."""
    if isinstance(host, Machine):
        # Its firmware boots it again by itself.
        _console(host, "power on")
        _console(host, f"off (qemu exited {host.power()})")
    else:
        while _boot(host) == REBOOTED:
            pass
    network.unplug(host.state, host.number)


def _boot(host: Host) -> int:
    init = bootloader.next_init(host.boot)
    _console(host, f"booting {init}")
    netns = network.plug_in(host.state, host.number, cut=host.is_cut)
    if host.is_cut:  # perhaps meanwhile
        network.cut(host.state, host.number)
    options = (
        f"--hostname={host.name}",
        f"--bind={host.boot}:/boot",
        f"--network-namespace-path={netns}",
        "--capability=CAP_NET_ADMIN",
        "--console=read-only",
        "--kill-signal=SIGRTMIN+3",
        # A host makes so many mounts in its first second that systemd would hold back mount units for another one.
        "--setenv=SYSTEMD_DEFAULT_MOUNT_RATE_LIMIT_BURST=100",
    )
    code = nspawn.run(host.cgroup / "machine", host.machine, host.root, *options, command=[init]).returncode
    _console(host, "rebooting" if code == REBOOTED else f"off (systemd-nspawn exited {code})")
    return code


def _console(host: Host, text: str) -> None:
    print(f"[{host.name}: {text}]", flush=True)


def main() -> None:
    directory, name = sys.argv[1:]
    host = host_of(State(Path(directory)), name)
    cgroup.enter(host.cgroup / "watcher")
    try:
        power(host)
    except LabError as error:
        _console(host, f"does not boot: {error}")


if __name__ == "__main__":
    main()
