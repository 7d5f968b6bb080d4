# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host is lost while its system is tested: nobody knows what becomes of it, and that is what is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from integration.commanding import Command, destination, limits, reaching, results
from integration.faulting import SHORT, directory, is_whole, last_record, nobody_confirms, state, wait_for
from integration.playing import change_the_flake, deploy, systems

from lab import Host, Lab

# A silent connection is given up after two seconds, and the host after three more.
IMPATIENT = {
    "ansible_ssh_extra_args": "-o ServerAliveInterval=1 -o ServerAliveCountMax=2",
    "ansible_ssh_timeout": 3,
    "deploy_flake_reconnect_timeout": 3,
}
QUICK = {name: limit for name, limit in SHORT.items() if name != "confirm"}


@pytest.fixture
def linked(whole: dict[str, Host]) -> Iterator[dict[str, Host]]:
    """The hosts; in the end none of them is cut off."""
    yield whole
    for host in whole.values():
        host.mend()


def cut_while_it_activates(host: Host, run: Future[Any]) -> str:
    """Pull the cable, for good; the deployment that is in progress."""

    def activates() -> bool:
        assert not run.done(), run.result()
        return state(host) in ("activating", "settling")

    wait_for(activates, pause=0.001)
    host.cut()
    found = directory(host)
    assert found is not None
    return found.name


def test_all_or_nothing_and_a_host_that_is_lost(lab: Lab, linked: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """The others go back; of the one that is lost only its deployment and the time by which it decides are known."""
    change_the_flake(flake, "lost")
    before = {name: systems(host).running for name, host in linked.items()}
    host = linked["host2"]
    with ThreadPoolExecutor(1) as pool:
        options = {"deploy_flake_all_or_nothing": True, "deploy_flake_limits": QUICK, **IMPATIENT}
        run = pool.submit(deploy, lab, tmp_path, flake, *linked, **options)
        deployment = cut_while_it_activates(host, run)
        played = run.result()
    assert systems(host).running != before["host2"], "it was not lost with the new system"
    nobody_confirms(host)
    host.mend()

    assert played.code != 0
    assert "committed: none" in played.output, played.output
    assert "previous: host1, host3" in played.output, played.output
    said = re.search(r"unknown: host2 \(deployment (\S+) decides by itself by (20[^\s)]+)\)", played.output)
    assert said, played.output
    assert said[1] == deployment
    failure = played.failure("host2")
    assert {name: failure[name] for name in ("state", "deployment", "decides_by", "reason")} == {
        "state": "unknown",
        "deployment": deployment,
        "decides_by": said[2],
        "reason": "lost",
    }
    assert f"it finishes or undoes by itself, by {said[2]} at the latest" in failure["msg"]
    for name, its in linked.items():
        is_whole(its, before[name], "rolled-back")
    ended = datetime.fromisoformat(str(last_record(host)["ended"]))
    assert ended <= datetime.fromisoformat(said[2])


def test_command_and_a_host_that_is_lost(command: Command, lab: Lab, linked: dict[str, Host], flake: Path) -> None:
    host = linked["host1"]
    change_the_flake(flake, "lost-command")
    before, now = systems(host).running, datetime.now(UTC)
    ssh = f"{reaching([host])[0]} -o ServerAliveInterval=1 -o ServerAliveCountMax=2"
    given = [ssh, "--flake", str(flake), "--reconnect-timeout", "3", *limits()]
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(command.json, destination(host, "host1"), *given)
        deployment = cut_while_it_activates(host, run)
        code, lines = run.result()
    nobody_confirms(host)
    host.mend()

    (told,) = results(lines).values()
    assert code == 1, lines
    assert (told["outcome"], told["state"], told["reason"], told["deployment"]) == (
        "unknown",
        "unknown",
        "lost",
        deployment,
    )
    decides_by = datetime.fromisoformat(told["decides_by"])
    assert decides_by > now
    assert told["decides_by"] in told["error"]
    is_whole(host, before, "rolled-back")
    assert datetime.fromisoformat(str(last_record(host)["ended"])) <= decides_by
