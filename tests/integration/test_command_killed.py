# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command deploy-flake is killed by SIGKILL: nothing of it goes on here, and the hosts decide by themselves."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import pytest
from integration.commanding import Command, destination, reaching
from integration.faulting import SHORT, command_line, inside, is_whole, nobody_confirms, settled, state, wait_for
from integration.playing import change_the_flake, systems

from lab import Host, Lab


def left(mark: str) -> list[str]:
    """What has this in its environment, but for ssh's shared connections, which end by themselves."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            command = command_line(environ.parent.name).replace("\0", " ").strip()
            if f"{mark}\0".encode() in environ.read_bytes() and command and not command.endswith("[mux]"):
                found.append(command)
    return found


@pytest.mark.parametrize("phase", ["activating", "window"])
def test_nothing_goes_on(command: Command, lab: Lab, whole: dict[str, Host], flake: Path, phase: str) -> None:
    host = whole["host1"]
    change_the_flake(flake, f"killed-{phase}")
    limits = [f"--time-limit={name}={seconds}" for name, seconds in SHORT.items()]
    # Nobody can confirm: the new system lets no new connection in.
    given = [destination(host, "host1-firewall"), "--flake", str(flake), *reaching([host]), *limits]
    before = systems(host).running
    mark = f"DEPLOY_FLAKE_TEST={os.getpid()}-{phase}"
    process = command.start(*given, environment=dict([mark.split("=")]))
    wait_for(lambda: state(host) == phase, pause=0.002)
    assert len(left(mark)) >= 3, left(mark)
    process.kill()
    process.wait()

    wait_for(lambda: not left(mark), 30, 0.1, f"{left(mark)}")
    nobody_confirms(host)
    is_whole(host, before, "rolled-back")


def test_build_that_nobody_waits_for_any_more(command: Command, lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    """It goes on, and who builds next removes what it has left, its settings excepted: those go with its unit."""
    host = whole["host3"]
    change_the_flake(flake, "killed-building")
    secret = ["--extra-vars", json.dumps({"deploy_flake_nix_config": "cores = 1"})]
    given = ["--flake", str(flake), *reaching([host])]
    mark = f"DEPLOY_FLAKE_TEST={os.getpid()}-building"
    process = command.start(destination(host, "host3-slow-build"), *given, *secret, environment=dict([mark.split("=")]))

    def builds() -> list[Path]:
        return list(inside(host, "/run/deploy-flake").glob("build-*"))

    wait_for(lambda: any("step 2 of" in (one / "log").read_text() for one in builds() if (one / "log").exists()))
    (build,) = builds()
    assert (build / "nix.conf").exists()
    process.kill()
    process.wait()
    wait_for(lambda: not left(mark), 30, 0.1, f"{left(mark)}")
    wait_for((build / "result").exists, 60, 0.1)
    assert (build / "result").read_text() == "success 0\n"
    assert not (build / "nix.conf").exists()

    # Its controller could still come back.
    code, lines = command.json(destination(host, "host3"), *given)
    assert code == 0, lines
    assert builds() == [build]
    long_ago = time.time() - 2 * 3600
    os.utime(build, (long_ago, long_ago))
    code, lines = command.json(destination(host, "host3"), *given)
    assert code == 0, lines
    assert builds() == []
    settled(host)
