# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that are mounted when somebody looks into them: those of the new system end with it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path

from integration.faulting import (
    SHORT,
    SWITCH_LOCK,
    active_units,
    at_once,
    build,
    deploying,
    inside,
    is_whole,
    kill_both_units,
    last_record,
    locked,
    next_system,
    nobody_confirms,
    settled,
)
from integration.playing import systems

from lab import Host, Lab


def can_mount_by_looking(host: Host) -> None:
    """A container has no such device, and its systemd looks for it once."""
    device = inside(host, "/dev/autofs")
    with suppress(FileExistsError):
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(10, 235))
    host.run("systemctl daemon-reexec", check=True)


def autofs(host: Host) -> set[str]:
    """The directories that are mounted so."""
    lines = Path(f"/proc/{host.leader}/mountinfo").read_text().splitlines()
    return {line.split()[4] for line in lines if " - autofs " in line}


def test_automounts_of_the_new_system_end(lab: Lab, whole: dict[str, Host]) -> None:
    """Of its fstab or a unit of its own, after two of the ways back: nobody finds a dead directory."""

    def case(host: Host, fault: str, way: str) -> None:
        can_mount_by_looking(host)
        before, units, there = systems(host).running, active_units(host), autofs(host)
        limits = SHORT | {"rollback": 6}
        with deploying(lab, host, build(host, fault), confirm=False, limits=limits) as deployment:
            deployment.wait_for("window")
            host.run("systemctl start srv-data.automount", check=True)
            assert autofs(host) - there == {"/srv/data"}
            if way == "by-hand":
                with locked(host, SWITCH_LOCK):
                    nobody_confirms(host)
                    settled(host, 120)
            else:
                kill_both_units(host)
        is_whole(host, before, "rolled-back")
        assert last_record(host)["rung"] == way, last_record(host)
        assert autofs(host) == there
        assert host.run("timeout 5 ls /srv/data").returncode == 0
        assert units - active_units(host) == set()

    faults = (("automount", "test"), ("automount-fstab", "by-hand"), ("automount-fstab", "test"))
    at_once({host: partial(case, fault=f, way=w) for host, (f, w) in zip(whole.values(), faults, strict=True)})


def test_automounts_that_ran_are_there_again(lab: Lab, whole: dict[str, Host]) -> None:
    """The new system lacks it, so it was stopped; nothing of the previous system wants it, but it was there."""
    host = whole["host1"]
    can_mount_by_looking(host)
    try:
        with deploying(lab, host, build(host, "automount")) as first:
            assert first.end() == 0, first.output
        host.run("systemctl start srv-data.automount", check=True)
        before = systems(host).running
        with deploying(lab, host, next_system(host), confirm=False) as deployment:
            deployment.wait_for("window")
            assert "/srv/data" not in autofs(host)
            nobody_confirms(host)
            settled(host)
        is_whole(host, before, "rolled-back")
        assert "/srv/data" in autofs(host)
        assert "srv-data.automount" in active_units(host)
    finally:
        lab.reset([host])
