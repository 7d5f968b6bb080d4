# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units: what the new system brought is gone after every way back, and what fails late or again and again is seen."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from integration.faulting import (
    SHORT,
    SWITCH_LOCK,
    Deploying,
    at_once,
    build,
    deploying,
    directory,
    inside,
    is_whole,
    last_record,
    locked,
    nobody_confirms,
    settled,
    wait_for,
)
from integration.playing import LIMITS, play, systems

from lab import Host, Lab

# The first two ways back take as long as the lock is held, each.
BACK = SHORT | {"rollback": 6}


def property_of(host: Host, unit: str, name: str) -> str:
    """What systemd says of a unit."""
    return host.run(["systemctl", "show", "--value", "-p", name, unit], check=True).stdout.strip()


def goes_back_by_hand(
    lab: Lab, host: Host, system: str, meanwhile: Callable[[], None] = lambda: None, confirm: bool = True
) -> None:
    """Let nobody confirm a system, while something holds the lock of switch-to-configuration until all is over.

    Where one can come in nobody may try to.
    """
    before = systems(host).running
    with deploying(lab, host, system, confirm=confirm, limits=BACK) as deployment:
        deployment.wait_for("window")
        with locked(host, SWITCH_LOCK):
            meanwhile()
            nobody_confirms(host)
            assert deployment.end(180) != 0 or not confirm
            settled(host)
    is_whole(host, before, "rolled-back")
    assert last_record(host)["rung"] == "by-hand", last_record(host)


def has_nothing_of(host: Host, system: str) -> None:
    """No unit that came with this system is active."""
    files = "cd {}/etc/systemd/system && find -L . -maxdepth 1 -type f | sort"
    brought, kept = (set(host.run(files.format(each), check=True).stdout.split()) for each in (system, before(host)))
    active = host.run("systemctl list-units --state=active,activating --plain --no-legend --full", check=True).stdout
    names = {line.split()[0] for line in active.splitlines()}
    assert not names & {Path(file).name for file in brought - kept}


def before(host: Host) -> str:
    """The system that a host in peace runs."""
    return systems(host).running


def test_firewalls_after_the_way_by_hand(lab: Lab, whole: dict[str, Host]) -> None:
    """It ends what only the new system has: else nobody comes in, though the system that ran seems to run again."""

    def case(fault: str, host: Host) -> None:
        system = build(host, fault)
        goes_back_by_hand(lab, host, system)
        has_nothing_of(host, system)
        assert "lockout" not in host.run("nft list ruleset", check=True).stdout
        assert "DROP" not in host.run("iptables -S INPUT", check=True).stdout

    faults = ("firewall", "firewall-iptables", "gate")
    at_once({host: partial(case, fault) for host, fault in zip(whole.values(), faults, strict=True)})


def by_hand(lab: Lab, host: Host, form: str) -> None:
    """Something holds the lock of switch-to-configuration."""
    goes_back_by_hand(lab, host, build(host, f"{form}-closed"))


def in_emergency(lab: Lab, host: Host, form: str) -> None:
    """Something that is required fails while nobody has confirmed yet: what has no default dependencies goes on."""
    with deploying(lab, host, build(host, f"{form}-closed"), confirm=False) as deployment:
        deployment.wait_for("window")
        assert "closed" in filters(host)
        host.run("systemctl --no-block --job-mode=replace-irreversibly start emergency.target", check=True)
        # By then it has begun to stop what it stops.
        time.sleep(3)
        nobody_confirms(host)
        deployment.end()


def mount_fails(lab: Lab, host: Host, form: str) -> None:
    """Which ends in emergency mode."""
    system = build(host, f"{form}-closed-mount-fails")
    with deploying(lab, host, system, limits=SHORT, reconnect_timeout=120) as deployment:
        assert deployment.end(180) != 0, deployment.output


def filters(host: Host) -> str:
    """The rules that hold."""
    return host.run("/usr/sbin/nft list table inet filters", check=True).stdout


@pytest.mark.parametrize("form", ["filters", "filters-triggers"])
def test_reloaded_firewalls(lab: Lab, whole: dict[str, Host], form: str) -> None:
    """One that both systems have is loaded anew by a switch, and goes on in the same run: the old rules hold again."""

    def case(fault: Callable[[Lab, Host, str], None], host: Host) -> None:
        system = build(host, form)
        with deploying(lab, host, system) as first:
            assert first.end() == 0, first.output
        run = property_of(host, "filters.service", "InvocationID")
        fault(lab, host, form)
        is_whole(host, system, "rolled-back", 120)
        rules = filters(host)
        assert "opened" in rules, rules
        assert "closed" not in rules, rules
        # Else the run would have told.
        assert property_of(host, "filters.service", "InvocationID") == run

    at_once(
        {
            host: partial(case, fault)
            for host, fault in zip(whole.values(), (by_hand, in_emergency, mount_fails), strict=True)
        }
    )


def is_called(host: Host, place: str) -> None:
    """Connect to the socket, which starts the service."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(inside(host, f"/run/echo-{place}.sock")))
        wait_for(lambda: runs_in(host) == place, 10, 0.1)


def runs_in(host: Host) -> str:
    """The place that the process of the service was told."""
    process = Path(f"/proc/{property_of(host, 'echo.service', 'MainPID')}/cmdline")
    return host.run(["cat", str(process)]).stdout.removesuffix("\0").rpartition("\0")[2]


def listens(host: Host) -> None:
    """The socket, the service and the timer are those of the system `listens`."""
    sockets = host.run("ss -lxH", check=True).stdout
    assert "/run/echo-here.sock" in sockets, sockets
    assert "elsewhere" not in sockets, sockets
    assert runs_in(host) == "here"
    assert "*-*-* 00:00:00" in property_of(host, "tock.timer", "TimersCalendar")
    for unit in ("echo.socket", "echo.service", "tock.timer"):
        assert property_of(host, unit, "ActiveState") == "active"
        assert property_of(host, unit, "NeedDaemonReload") == "no"
        path = host.run(["readlink", "-f", property_of(host, unit, "FragmentPath")], check=True).stdout.strip()
        assert path.startswith(before(host)), path


def test_changed_units_after_the_way_by_hand(lab: Lab, whole: dict[str, Host]) -> None:
    """They run what the system that ran makes of them; a socket can't be had back while its service goes on."""

    def case(host: Host) -> None:
        with deploying(lab, host, build(host, "listens")) as first:
            assert first.end() == 0, first.output
        is_called(host, "here")
        listens(host)
        system = build(host, "listens-elsewhere")
        goes_back_by_hand(lab, host, system, partial(is_called, host, "elsewhere"))
        listens(host)
        has_nothing_of(host, system)

    at_once(dict.fromkeys(list(whole.values())[:2], case))
    lab.reset(list(whole.values())[:2])


def by_switching(lab: Lab, host: Host, system: str, meanwhile: Callable[[], None]) -> None:
    """Let nobody confirm a system."""
    with deploying(lab, host, system, confirm=False, limits=BACK) as deployment:
        deployment.wait_for("window")
        meanwhile()
        nobody_confirms(host)
        deployment.end()
        settled(host)


def test_units_that_end_by_themselves(lab: Lab, whole: dict[str, Host]) -> None:
    """Nobody misses them, nor starts them once more; and what only failed while the new system was live is history."""

    def case(goes_back: Callable[..., None], host: Host) -> None:
        system = build(host, "jobs")
        with deploying(lab, host, system) as first:
            assert first.end() == 0, first.output
        host.run("systemctl start work.service", check=True)
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(str(inside(host, "/run/talk.sock")))
        talks = partial(active, host, "talk@*.service")
        wait_for(talks, 10, 0.1)

        def all_end() -> None:
            assert talks()
            assert active(host, "work.service")
            caller.close()
            host.run("touch /run/work-done /run/fail", check=True)
            wait_for(lambda: property_of(host, "idle.service", "ActiveState") == "failed", 10, 0.1)
            wait_for(lambda: not talks() and not active(host, "work.service"), 10, 0.1)

        goes_back(lab, host, build(host, "jobs-fail"), all_end)
        is_whole(host, system, "rolled-back")
        assert host.run("cat /run/work", check=True).stdout == "begins\n"
        assert not active(host, "work.service")
        host.run("rm /run/work /run/work-done /run/fail", check=True)

    ways: list[Callable[..., None]] = [by_switching, partial(goes_back_by_hand, confirm=False)]
    at_once({host: partial(case, way) for host, way in zip(whole.values(), ways, strict=False)})


def active(host: Host, pattern: str) -> str:
    """The units of this name that are active."""
    return host.run(f"systemctl list-units --state=active --plain --no-legend '{pattern}'", check=True).stdout


def is_confirmed_late(lab: Lab, host: Host, fault: str, unit: str, bad: Mapping[str, str]) -> None:
    """A system that is well when its window opens, and not any more when the confirmation comes."""
    running, system = systems(host).running, build(host, fault)
    limits = SHORT | {"confirm": 60}
    with deploying(lab, host, system, confirm=False, limits=limits) as deployment:
        deployment.wait_for("window")
        name = wait_for(lambda: directory(host)).name
        assert deployment.end() == 0, deployment.output
    host.run("sleep 2; touch /run/fail", check=True)
    wait_for(lambda: any(property_of(host, unit, key) == value for key, value in bad.items()), 20, 0.2)
    options: dict[str, Any] = {"toplevel": system, "deployment": name, "limits": limits, "reconnect_timeout": 60}
    boot = {"deploy_flake.nixos.system_boot": options, "become": True}
    with Deploying(lab, host, [{"hosts": "all", "gather_facts": False, "tasks": [boot]}]) as confirmation:
        assert confirmation.end() != 0, confirmation.output
        assert unit in confirmation.output
        assert "after the new system had settled" in confirmation.output, confirmation.output
    host.run("rm /run/fail", check=True)
    is_whole(host, running, "rolled-back")
    assert last_record(host)["why_code"] == "units-failed"


def test_failures_while_the_window_is_open(lab: Lab, whole: dict[str, Host]) -> None:
    """Units are looked at once more, directly before the commit."""
    fails = partial(is_confirmed_late, lab, fault="fails-late", unit="late.service", bad={"ActiveState": "failed"})
    # Up again at most moments.
    loops = partial(is_confirmed_late, lab, fault="loops-late", unit="loop.service", bad={"NRestarts": "2"})
    at_once(dict(zip(whole.values(), (fails, loops), strict=False)))


def test_one_that_dies_when_units_were_quiet_already(lab: Lab, whole: dict[str, Host]) -> None:
    """They are watched for a second where no time is given, and looked at once more when two are over."""
    host = whole["host1"]
    running = systems(host).running
    with deploying(lab, host, build(host, "dies-later"), limits=LIMITS) as deployment:
        assert deployment.end() != 0, deployment.output
        late = ", after the new system had settled" if "waits for confirmation" in deployment.output else ""
        assert f"units have failed: dies-later.service{late}" in deployment.output, deployment.output
    is_whole(host, running, "rolled-back")


def test_crash_loops(lab: Lab, whole: dict[str, Host]) -> None:
    """A service that dies and is started again for ever is not well at any moment, whatever it looks like."""

    def case(fault: str, host: Host) -> None:
        running = systems(host).running
        with deploying(lab, host, build(host, fault), limits=LIMITS) as deployment:
            assert deployment.end() != 0, deployment.output
            assert "services end and are started again and again: loop.service" in deployment.output, deployment.output
        is_whole(host, running, "rolled-back")

    def ends_once(host: Host) -> None:
        system = build(host, "ends-once")
        with deploying(lab, host, system, limits=LIMITS) as deployment:
            assert deployment.end() == 0, deployment.output
        is_whole(host, system, "committed")
        assert property_of(host, "loop.service", "NRestarts") == "1"
        host.run("rm /run/ended-once", check=True)

    first, second, third = whole.values()
    at_once({first: partial(case, "loops"), second: partial(case, "loops-slowly"), third: ends_once})
    lab.reset([third])


def test_crash_loop_that_there_was_before(lab: Lab, whole: dict[str, Host]) -> None:
    """It is forgiven where nothing but new failures counts, and is named before anything is touched where all count."""
    host = whole["host3"]
    system, again = build(host, "loops-at-once"), build(host, "loops-at-once", version="again")
    # The switch counts it as well.
    forgiven = "failed while the system was activated, as it may: loop.service"
    with deploying(lab, host, system, ignore_units=["loop.*"]) as first:
        assert first.end() == 0, first.output
    is_whole(host, system, "committed")
    assert forgiven in last_record(host)["notes"]
    wait_for(lambda: property_of(host, "loop.service", "SubState") == "auto-restart", 20)
    with deploying(lab, host, again) as strict:
        assert strict.end() != 0
        assert "units have failed already: loop.service" in strict.output, strict.output
        assert "again with health_policy 'no_new_failures'" in strict.output, strict.output
    is_whole(host, system, "refused")
    with deploying(lab, host, again, health_policy="no_new_failures", limits=SHORT | {"settle": 4}) as lenient:
        assert lenient.end() == 0, lenient.output
    is_whole(host, again, "committed")
    assert forgiven in last_record(host)["notes"]
    # What mends it.
    well = build(host)
    with deploying(lab, host, well, health_policy="no_new_failures") as mended:
        assert mended.end() == 0, mended.output
    is_whole(host, well, "committed")
    assert property_of(host, "loop.service", "LoadState") == "not-found"
    lab.reset([host])


def test_crash_loop_in_the_status(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """systemd calls such a host running; a service that is up at most moments is found, too."""
    units = {"slow": ("60", "exit 1"), "fast": ("0.1", "sleep 0.5; exit 1")}
    host = whole["host1"]
    for name, (pause, script) in units.items():
        started = f"systemd-run -q --unit={name}.service -p Restart=always -p RestartSec={pause}"
        host.run(f"{started} -p StartLimitIntervalSec=0 sh -c '{script}'", check=True)
    wait_for(lambda: property_of(host, "slow.service", "SubState") == "auto-restart", 20)
    wait_for(lambda: property_of(host, "fast.service", "NRestarts") >= "1", 20)
    played = play(lab, tmp_path, "deploy_flake.nixos.status", limit=[host.name])
    host.run("systemctl stop slow.service fast.service", check=True)
    assert sorted(played.of(host.name, "system_info")["failed_units"]) == ["fast.service", "slow.service"]
    assert played.of(host.name, "fleet_status")["rows"][0]["health"] == "running, 2 failed"
