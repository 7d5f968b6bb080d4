# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command deploy-flake is killed by SIGKILL: nothing of it goes on here, and the hosts decide by themselves."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from integration.commanding import Command, destination, reaching
from integration.faulting import SHORT, is_whole, state, wait_for
from integration.playing import change_the_flake, systems

from lab import Host, Lab


def left(mark: str) -> list[str]:
    """What has this in its environment, but for ssh's shared connections, which end by themselves."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            command = (environ.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            if f"{mark}\0".encode() in environ.read_bytes() and command and not command.endswith("[mux]"):
                found.append(command)
    return found


@pytest.mark.parametrize("phase", ["activating", "window"])
def test_nothing_goes_on(command: Command, lab: Lab, whole: dict[str, Host], flake: Path, phase: str) -> None:
    host = whole["host1"]
    change_the_flake(flake, f"killed-{phase}")
    # Nobody can confirm: the new system lets no new connection in.
    configuration = "host1-firewall" if phase == "window" else "host1"
    limits = [f"--time-limit={name}={seconds}" for name, seconds in (SHORT | {"confirm": 15}).items()]
    given = [destination(host, configuration), "--flake", str(flake), *reaching([host]), *limits]
    before = systems(host).running
    mark = f"DEPLOY_FLAKE_TEST={os.getpid()}-{phase}"
    process = command.start(*given, environment=dict([mark.split("=")]))
    wait_for(lambda: state(host) == phase, pause=0.002)
    assert len(left(mark)) >= 3, left(mark)
    process.kill()
    process.wait()

    wait_for(lambda: not left(mark), 10, 0.1, f"{left(mark)}")
    is_whole(host, before, "rolled-back")
