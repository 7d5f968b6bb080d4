# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a deploy runs something on a host, and how much it sends: counted where ssh is started."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from integration.counting import Counter, Execution, by_host
from integration.playing import change_the_flake, deploy

from lab import Host, Lab

KIB = 1024


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path / "counted")


def work(executions: Sequence[Execution]) -> list[Execution]:
    """What is no mere poll."""
    return [execution for execution in executions if not execution.is_poll]


def test_few_executions_and_little_data(
    lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path, counter: Counter
) -> None:
    change_the_flake(flake, "counted")

    began = time.monotonic()
    first = deploy(lab, tmp_path, flake, *fresh, ansible_ssh_executable=str(counter.program))

    # Each host keeps to itself for four seconds what is only progress.
    most = max(6, int((time.monotonic() - began) / 4))
    assert first.code == 0, first.output
    counted = by_host(counter.executions())
    assert set(counted) == {host.address for host in fresh.values()}
    for name, host in fresh.items():
        assert first.of(name, "system_boot")["state"] == "committed"
        mine = counted[host.address]
        # Asked, sent and built, tested, confirmed.
        assert len(work(mine)) == 4, [execution.data[:200] for execution in mine]
        fresh_ones = [execution for execution in work(mine) if not execution.shared]
        assert len(fresh_ones) == 1
        assert "meant=" in fresh_ones[0].data
        # Of a quick deployment hardly anything is polled.
        polls = len(mine) - len(work(mine))
        assert polls <= most
        copied = first.of(name, "flake_build")["bytes_sent"]
        assert copied > 0
        assert sum(execution.sent for execution in mine) < copied + (232 + 4 * max(0, polls - 6)) * KIB
    counter.reset()

    again = deploy(lab, tmp_path, flake, *fresh, ansible_ssh_executable=str(counter.program))

    assert again.code == 0, again.output
    counted = by_host(counter.executions())
    for name, host in fresh.items():
        assert again.of(name, "system_test")["state"] == "unchanged"
        mine = counted[host.address]
        assert len(work(mine)) == 1, [execution.data[:200] for execution in mine]
        assert all(execution.shared for execution in mine)
        assert 0 < sum(execution.sent for execution in mine) < 32 * KIB
