# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is busy is waited for, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from unit.fake_host import Clock, FakeHost, answered

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import wait_while_busy as module
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.wait_while_busy import wait_while_busy
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def busy(who: str) -> HostError:
    return HostError(f"host1 is busy with {who}", Refusal.BUSY, answered({"busy_by": who}))


class Attempts:
    """Fails with one after the other."""

    def __init__(self, *failures: HostError) -> None:
        self._failures: Iterator[HostError] = iter(failures)
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        for failure in self._failures:
            raise failure
        return "done"


def test_busy_host_is_waited_for_and_each_holder_is_told_once(clock: Clock) -> None:
    host, attempts = FakeHost(), Attempts(busy("a"), busy("a"), busy("b"))
    began = clock.now
    assert wait_while_busy(host, 60, attempts) == "done"
    assert (attempts.made, clock.now - began) == (4, 6)
    assert host.told == ["waits up to 60 s: host1 is busy with a", "waits up to 60 s: host1 is busy with b"]


@pytest.mark.parametrize("reason", [reason for reason in Refusal if reason != Refusal.BUSY])
def test_nothing_else_is_waited_for(clock: Clock, reason: Refusal) -> None:
    host, attempts = FakeHost(), Attempts(HostError("no", reason))
    with pytest.raises(HostError) as caught:
        wait_while_busy(host, 60, attempts)
    assert (caught.value.reason, attempts.made, host.told) == (reason, 1, [])


def test_patience_has_an_end(clock: Clock) -> None:
    attempts = Attempts(*(busy("a") for _each in range(100)))
    began = clock.now
    with pytest.raises(HostError) as caught:
        wait_while_busy(FakeHost(), 60, attempts)
    assert (caught.value.reason, clock.now - began, attempts.made) == (Refusal.BUSY, 60, 31)
    assert "lock_timeout (deploy_flake_lock_timeout)" in str(caught.value)


def test_without_patience_it_is_tried_once(clock: Clock) -> None:
    attempts = Attempts(busy("a"))
    with pytest.raises(HostError):
        wait_while_busy(FakeHost(), 0, attempts)
    assert attempts.made == 1
