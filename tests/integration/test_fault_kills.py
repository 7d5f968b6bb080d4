# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor, its whole unit, its guard, or both units are killed while a system is tried."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable
from functools import partial

import pytest
from integration.faulting import (
    SHORT,
    SWITCH_LOCK,
    UNIT,
    at_once,
    build,
    deploying,
    directory,
    guard,
    is_whole,
    kill_both_units,
    kill_main_process,
    kill_whole_cgroup,
    kill_whole_unit,
    last_record,
    locked,
    next_system,
    processes,
    state,
    stopped,
    wait_for,
)
from integration.playing import outcomes, systems

from lab import Host, Lab

KILLS: list[Callable[[Host], None]] = [kill_main_process, kill_whole_unit, kill_whole_cgroup, kill_both_units]
# The states, and limits that keep it there.
STATES: list[tuple[str, dict[str, int]]] = [("activating", {}), ("settling", {"settle": 30}), ("window", {})]


@pytest.mark.parametrize("turn", range(len(KILLS)))
def test_kills_while_a_system_is_tried(lab: Lab, whole: dict[str, Host], turn: int) -> None:
    """Each kill in each state, three states at a time on three shells."""

    def case(number: int, host: Host) -> None:
        name, limits = STATES[(turn + number) % len(STATES)]
        kill = KILLS[turn]
        before = host.run("readlink -f /run/current-system").stdout.strip()
        system = build(host, "hangs") if name == "activating" else next_system(host)
        with deploying(lab, host, system, confirm=False, limits=SHORT | limits) as deployment:
            deployment.wait_for(name)
            kill(host)
            # It does not wait for a limit.
            wait_for(lambda: state(host) != name, 20, saying=f"{kill.__name__} while {name}")
            # In the window the task may have ended well already.
            failed = deployment.end() != 0
            assert failed or name == "window", deployment.output
            assert failed == ("runs its previous system again" in deployment.output), deployment.output
        is_whole(host, before, "rolled-back")

    at_once({host: partial(case, number) for number, host in enumerate(whole.values())})


def test_guard_is_killed(lab: Lab, whole: dict[str, Host]) -> None:
    """It is started again, and the deployment goes on to its end."""

    def case(how: str, host: Host) -> None:
        system = next_system(host)
        with deploying(lab, host, system, limits=SHORT | {"settle": 4}) as deployment:
            deployment.wait_for("settling")
            first = processes(host, guard(host))
            host.run(f"systemctl kill -s {how} {guard(host)}", check=True)
            wait_for(lambda: set(processes(host, guard(host))) - set(first), 10)
            assert deployment.end() == 0, deployment.output
        is_whole(host, system, "committed")

    at_once({host: partial(case, how) for host, how in zip(whole.values(), ("KILL", "TERM", "INT"), strict=True)})


def test_deadline_of_the_guard(lab: Lab, whole: dict[str, Host]) -> None:
    """A supervisor that is still at work then is ended and undone, even one that cannot act any more."""

    def case(host: Host) -> None:
        before, system = systems(host).running, next_system(host)
        with deploying(lab, host, system, confirm=False, limits=SHORT | {"confirm": 600}) as deployment:
            deployment.wait_for("window")
            at = directory(host)
            assert at
            with stopped(processes(host)[0]):
                # Hours would pass; so it is moved, and the guard, started anew, reads it.
                settings = at / "settings"
                settings.write_text(re.sub(r"(?m)^guard_deadline=.*$", "guard_deadline=1", settings.read_text()))
                host.run(f"systemctl kill -s KILL {guard(host)}", check=True)
                wait_for(lambda: state(host) == "rolling-back" or not state(host), 30)
                deployment.end()
        is_whole(host, before, "rolled-back")
        assert "guard's deadline" in str(last_record(host)["notes"])

    at_once(dict.fromkeys(whole.values(), case))


def gone(host: Host, pids: set[int]) -> bool:
    """Whether none of these processes is left in either unit."""
    return not pids & {*processes(host), *processes(host, guard(host))}


def test_undo_is_killed_too(lab: Lab, whole: dict[str, Host]) -> None:
    """The undo dies half way, again and again: the guard goes on with it."""
    host = whole["host1"]
    before = host.run("readlink -f /run/current-system").stdout.strip()
    with locked(host, SWITCH_LOCK) as let_go:
        let_go()
        with deploying(lab, host, next_system(host), confirm=False, limits=SHORT | {"settle": 30}) as deployment:
            deployment.wait_for("settling")
            with locked(host, SWITCH_LOCK):
                kill_main_process(host)
                for _death in range(3):
                    deployment.wait_for("rolling-back")
                    busy = wait_for(lambda: processes(host) or processes(host, guard(host)))
                    for pid in busy:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    wait_for(partial(gone, host, set(busy)))
            deployment.end()
    is_whole(host, before, "rolled-back")


def test_both_units_are_gone(lab: Lab, whole: dict[str, Host]) -> None:
    """Nobody is left to undo: the next run says so, and repairs it before anything else."""
    host = whole["host3"]
    before, new = systems(host).running, next_system(host)
    with deploying(lab, host, new, confirm=False) as deployment:
        deployment.wait_for("window")
        lost = wait_for(lambda: directory(host)).name
        host.run(f"systemctl stop {guard(host)}", check=True)
        # The undo may live on, once or twice.
        while processes(host) or (host.cgroup / "machine/payload/system.slice" / UNIT).is_dir():
            with contextlib.suppress(OSError):
                kill_whole_cgroup(host)
    left = state(host)
    assert left in ("window", "rolling-back")
    assert systems(host).boot_default == before
    with deploying(lab, host, new) as again:
        assert again.end() == 0, again.output
        assert f"was left unfinished while {left}, and was undone first" in again.output, again.output
    is_whole(host, new, "committed")
    assert outcomes(host)[lost] == "rolled-back"
