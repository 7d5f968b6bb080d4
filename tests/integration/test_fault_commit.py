# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commit ends at each of its steps: before the profile link has moved it goes back, after it forward."""

from __future__ import annotations

from functools import partial

import pytest
from integration.committing import POINTS, again_if_missed, at, commit_fails, generations
from integration.faulting import (
    QUICK,
    at_once,
    deploying,
    deploys_again,
    is_whole,
    kill_both_units,
    kill_main_process,
    kill_whole_cgroup,
    next_system,
)
from integration.playing import systems

from lab import Host, Lab

KILLS = [kill_main_process, kill_whole_cgroup, kill_both_units]


@pytest.mark.parametrize("turn", [0, 3, 6])
def test_kills_between_the_steps_of_the_commit(lab: Lab, whole: dict[str, Host], turn: int) -> None:
    """Three points at a time, on three shells."""

    def case(number: int, host: Host) -> None:
        point, forward = POINTS[(turn + number) % len(POINTS)]
        kill = KILLS[number]
        before, new, links = systems(host).running, next_system(host), generations(host)
        with deploying(lab, host, new, limits=QUICK) as deployment:
            with at(point, deployment, host, new):
                kill(host)
            failed = deployment.end() != 0
        is_whole(host, *((new, "committed") if forward else (before, "rolled-back")))
        assert failed != forward, deployment.output
        assert (generations(host) == links) != forward

    at_once({host: partial(again_if_missed, partial(case, number)) for number, host in enumerate(whole.values())})


def test_boot_loader_can_not_be_put_back(lab: Lab, whole: dict[str, Host]) -> None:
    """It starts the new system, and cannot be written any more: said, and both systems are kept."""
    host = whole["host1"]
    before, new = systems(host).running, next_system(host)
    output = commit_fails(lab, host, new)
    assert f"the boot loader starts {new}, and the system profile is {before}" in output
    assert "do not reboot the host before that" in output
    kept = host.run("readlink /nix/var/nix/gcroots/deploy-flake/*").stdout.split()
    assert {before, new} <= set(kept)
    host.run("mount -o remount,rw /boot", check=True)
    deploys_again(lab, host)
