# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Emergency mode, rescue and soft-reboot: nobody can log in then, and nothing of it is a shutdown."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Any, NamedTuple

import pytest
from integration.faulting import (
    SHORT,
    UNIT,
    active_units,
    at_once,
    boots_again,
    build,
    deploying,
    deploys_again,
    directory,
    is_whole,
    journal,
    last_record,
    next_system,
    nobody_confirms,
    records,
    settled,
    soft_reboots,
    switching,
    wait_for,
)
from integration.playing import systems

from lab import Host, Lab


def is_as_before(host: Host, before: str, units: set[str], limit: float = 60) -> None:
    """It has rolled back: one system everywhere, ssh answers, and the same units are active as before, no more."""
    is_whole(host, before, "rolled-back", limit)
    now = active_units(host)
    # A target that nothing wants any more is no more than a name.
    new = {unit for unit in now - units if not unit.endswith(".target")}
    assert not units - now and not new, f"missing: {units - now}; new: {new}\n{journal(host)}"


# A new system


class Fault(NamedTuple):
    """A configuration with a fault, what is said of it, and what it needs to show itself."""

    name: str
    said: str
    limits: dict[str, int] = {}  # noqa: RUF012 (nobody changes it)


EMERGENCY = [
    Fault("mount-fails", "srv-data.mount"),
    Fault("mount-fails-device", "srv-data.mount"),
    Fault("mount-fails-late", "systemd-cryptsetup@data.service"),
]
NO_EMERGENCY = [
    Fault("mount-fails-unneeded", "srv-data.mount"),
    Fault("mount-changes", "exit 4"),
    Fault("swap-fails", "mkswap-var-swap.service"),
    Fault("sysinit-fails", "early.service"),
    Fault("network-online-hangs", "did not end within 5 s", {"activate": 5}),
]


def tried(lab: Lab, host: Host, fault: Fault) -> None:
    """Deploy the fault: the host undoes it by itself, and says why."""
    before, units = systems(host).running, active_units(host)
    limits = SHORT | fault.limits
    with deploying(lab, host, build(host, fault.name), limits=limits, reconnect_timeout=120) as deployment:
        assert deployment.end(180) != 0, deployment.output
        is_as_before(host, before, units)
        # switch-to-configuration may have lost the bus first.
        record = last_record(host)
        assert fault.said in record["why"] or fault.said in record["failed_units"], record
        assert fault.said in deployment.output, deployment.output


def test_mount_that_local_fs_requires(lab: Lab, whole: dict[str, Host]) -> None:
    """Emergency mode stops sshd and what depends on sysinit.target: the host comes back by itself."""
    at_once({host: partial(tried, lab, fault=fault) for host, fault in zip(whole.values(), EMERGENCY, strict=True)})
    at_once({host: partial(deploys_again, lab) for host in whole.values()})


@pytest.mark.parametrize("first", range(0, len(NO_EMERGENCY), 3), ids=lambda first: NO_EMERGENCY[first].name)
def test_what_else_a_system_waits_for(lab: Lab, whole: dict[str, Host], first: int) -> None:
    """Units of the same kind that end in no emergency: undone as any other."""
    cases = dict(zip(whole.values(), NO_EMERGENCY[first : first + 3], strict=False))
    at_once({host: partial(tried, lab, fault=fault) for host, fault in cases.items()})


def test_mount_that_nothing_requires(lab: Lab, whole: dict[str, Host]) -> None:
    """With nofail it is a failed unit as any other: the operator may say that it does not matter."""
    host = whole["host2"]
    system = build(host, "mount-fails-unneeded")
    with deploying(lab, host, system, ignore_units=["srv-data.mount"]) as deployment:
        assert deployment.end() == 0, deployment.output
    settled(host)
    now = systems(host)
    assert (last_record(host)["outcome"], now.running, now.loader) == ("committed", system, system), journal(host)
    # Its failed unit would stay for the next test.
    lab.reset([host])


# Somebody on the host


RESCUE = "systemctl --no-block rescue"
ISOLATED = "systemctl --no-block isolate emergency.target"
# As OnFailure= of local-fs.target has it: as long as anything is still stopping, nothing can be started.
IRREVERSIBLE = "systemctl --no-block --job-mode=replace-irreversibly start emergency.target"
SOFT_REBOOT = "systemctl --no-block soft-reboot"


def in_the_window(lab: Lab, host: Host, act: str, fault: str = "") -> Any:
    deployment = deploying(lab, host, build(host, fault) if fault else next_system(host), confirm=False)
    with deployment:
        deployment.wait_for("window")
        host.run(act, check=True)
        # After the others the supervisor is gone, and the host does not wait for the window's end.
        if act in (RESCUE, ISOLATED, IRREVERSIBLE):
            # By then it has begun to stop what it stops.
            time.sleep(3)
            nobody_confirms(host)
        deployment.end()


def while_activating(lab: Lab, host: Host, act: str) -> None:
    with deploying(lab, host, build(host, "hangs"), limits=SHORT | {"activate": 6}) as deployment:
        deployment.wait_for("activating")
        wait_for(lambda: switching(host))
        host.run(act, check=True)
        assert deployment.end(150) != 0, deployment.output


def while_rolling_back(lab: Lab, host: Host, act: str) -> None:
    """The way back waits for a unit that takes its time to stop."""
    system, limits = build(host, "stop-hangs"), SHORT | {"rollback": 20}
    with deploying(lab, host, system, confirm=False, limits=limits) as deployment:
        deployment.wait_for("window")
        deployment.end()
        nobody_confirms(host)
        wait_for(lambda: host.run("systemctl is-active stubborn.service").stdout.strip() == "deactivating")
        host.run(act, check=True)


def while_committing(lab: Lab, host: Host, act: str) -> None:
    """Before the commit point: the boot loader's installer hangs."""
    with deploying(lab, host, build(host, "boot-hangs"), limits=SHORT | {"commit": 8}) as deployment:
        deployment.wait_for("commit-check")
        host.run(act, check=True)
        assert deployment.end(150) != 0, deployment.output


@pytest.mark.parametrize(
    "moment",
    [in_the_window, while_activating, while_rolling_back, while_committing],
    ids=["window", "activating", "rolling-back", "committing"],
)
def test_rescue_and_emergency(lab: Lab, whole: dict[str, Host], moment: Any) -> None:
    """sshd is stopped, and perhaps every start is refused for a while: the previous system is live again afterwards."""

    def case(host: Host, act: str) -> None:
        before, units = systems(host).running, active_units(host)
        moment(lab, host, act)
        is_as_before(host, before, units, 120)

    acts = dict(zip(whole.values(), (RESCUE, ISOLATED, IRREVERSIBLE), strict=True))
    at_once({host: partial(case, act=act) for host, act in acts.items()})


def test_emergency_and_a_kill(lab: Lab, whole: dict[str, Host]) -> None:
    """Both at once: the guard undoes it, or whoever comes after the guard."""

    def case(host: Host, act: str, fault: str) -> None:
        before, units = systems(host).running, active_units(host)
        in_the_window(lab, host, act, fault)
        is_as_before(host, before, units, 120)

    supervisor = f"systemctl kill -s KILL {UNIT}"
    both = f"{supervisor} 'deploy-flake-guard-*'"
    cases = [
        (f"{supervisor}; {IRREVERSIBLE}", ""),
        (f"{both}; {IRREVERSIBLE}", ""),
        (f"{both}; {SOFT_REBOOT}", "firewall"),
    ]
    at_once(
        {host: partial(case, act=act, fault=fault) for host, (act, fault) in zip(whole.values(), cases, strict=True)}
    )


def test_soft_reboot_in_the_window(lab: Lab, whole: dict[str, Host]) -> None:
    """/run and the new system outlive it, both units of the deployment do not: the host undoes it all the same."""

    def case(host: Host, fault: str) -> None:
        before, units, count = systems(host).running, active_units(host), soft_reboots(host)
        in_the_window(lab, host, SOFT_REBOOT, fault)
        wait_for(lambda: soft_reboots(host) == count + 1, 60, 0.2)
        is_as_before(host, before, units, 120)
        deploys_again(lab, host)

    # Nobody can come in to repair the second and the third.
    faults = dict(zip(whole.values(), ("", "firewall", "firewall"), strict=True))
    at_once({host: partial(case, fault=fault) for host, fault in faults.items()})


def test_soft_reboot_at_other_moments(lab: Lab, whole: dict[str, Host]) -> None:
    """While a system is activated, while that is undone, and while it is committed."""

    def case(host: Host, moment: Any) -> None:
        before, units, count = systems(host).running, active_units(host), soft_reboots(host)
        moment(lab, host, SOFT_REBOOT)
        wait_for(lambda: soft_reboots(host) == count + 1, 60, 0.2)
        is_as_before(host, before, units, 120)

    moments = dict(zip(whole.values(), (while_activating, while_rolling_back, while_committing), strict=True))
    at_once({host: partial(case, moment=moment) for host, moment in moments.items()})


# The last resort


class Broken(NamedTuple):
    """A system that no way back leads from, what the operator has said, and whether the host reboots."""

    name: str
    last_resort_reboot: str | None
    reboots: bool


BROKEN = [
    # Nobody can come in any more; the second is in emergency mode on top of it.
    Broken("breaks-sshd", None, True),
    Broken("breaks-sshd-mount-fails", "auto", True),
    Broken("breaks-sshd", "never", False),
    # Somebody can, and may look.
    Broken("breaks-hello", "auto", False),
    Broken("breaks-hello", "always", True),
    Broken("breaks-hello", "never", False),
]


@pytest.mark.parametrize("first", range(0, len(BROKEN), 3), ids=["locked-out", "reachable"])
def test_last_resort(lab: Lab, whole: dict[str, Host], first: int) -> None:
    """No way back can be verified: whether the host reboots into what ran before, and what the record says."""

    def case(host: Host, broken: Broken) -> None:
        before, units, boot, began = systems(host).running, active_units(host), host.leader, time.monotonic()
        settings: dict[str, Any] = {"limits": SHORT | {"rollback": 20}, "reconnect_timeout": 60}
        if broken.last_resort_reboot:
            settings["last_resort_reboot"] = broken.last_resort_reboot
        with deploying(lab, host, build(host, broken.name), **settings) as deployment:
            if broken.reboots:
                boots_again(host, boot, 240)
                assert time.monotonic() - began < 240
            assert deployment.end(180) != 0, deployment.output
            assert "could NOT roll back to its previous system" in deployment.output or broken.reboots, (
                deployment.output
            )
        record = last_record(host)
        rung = "reboot" if broken.reboots else ""
        assert record["outcome"] == "rollback-failed", f"{record}\n{journal(host)}"
        assert (record["rung"] == "reboot") == broken.reboots, record
        assert record["boot"] == before, record
        if broken.reboots:
            wait_for(lambda: host.ssh("true").returncode == 0, 20, 0.2)
            now = systems(host)
            assert (now.running, now.booted, now.boot_default, now.loader) == (before, before, before, before)

            def others() -> set[str]:
                # Its socket starts that one when somebody asks for it, as an earlier test may have.
                return (active_units(host) ^ units) - {"nix-daemon.service"}

            wait_for(lambda: not others(), 20, 0.5, lambda: f"not as before: {others()}")
        else:
            # It stays as it is.
            time.sleep(5)
            assert host.leader == boot, f"{rung} {journal(host)}"
            assert systems(host).loader == before
            assert (host.ssh("true").returncode == 0) == (broken.name == "breaks-hello")

    try:
        at_once(
            {
                host: partial(case, broken=broken)
                for host, broken in zip(whole.values(), BROKEN[first : first + 3], strict=True)
            }
        )
    finally:
        lab.reset(whole.values())


def test_last_resort_after_undoes_that_were_killed(lab: Lab, whole: dict[str, Host]) -> None:
    """Whoever undoes it again goes on where the one before was killed: the host reboots no later for it."""
    host = whole["host1"]
    boot, limits = host.leader, SHORT | {"rollback": 20}
    counted: list[str] = []
    told: set[str] = set()

    def kept(name: str) -> str:
        with contextlib.suppress(OSError):
            if found := directory(host):
                return (found / name).read_text().strip()
        return ""

    def counts() -> bool:
        if (rounds := kept("ways-rounds")) and counted[-1:] != [rounds]:
            counted.append(rounds)
        told.add(kept("ways-until"))
        return host.leader != boot or bool(rounds)

    try:
        with deploying(lab, host, build(host, "breaks-sshd-mount-fails"), limits=limits, reconnect_timeout=60) as run:
            wait_for(counts, 60)
            for _killed in range(2):
                # The supervisor's unit, and the guard's after that.
                host.run(f"systemctl kill -s KILL {UNIT} 'deploy-flake-guard-*'")
                time.sleep(2)
                counts()
            # And the one that is about to ask for the reboot, or has, before it has written its line.
            wait_for(lambda: counts() and (kept("rung") == "reboot" or host.leader != boot), 200)
            host.run("systemctl kill -s KILL 'deploy-flake-guard-*'")
            # Who had not asked yet has another one go all the ways once more: 20 s on an idle machine.
            wait_for(lambda: host.leader not in (None, boot), 180)
            host.wait_running()
            assert run.end(120) != 0, run.output
        assert counted == [str(number + 1) for number in range(len(counted))], counted
        assert len(counted) >= 3, counted
        assert len(told - {""}) == 1, told
        # What the killed one has not told is told by the next deployment.
        deploys_again(lab, host)
        undone, _committed = records(host)[-2:]
        assert undone["rung"] == "reboot", undone
    finally:
        lab.reset([host])


def test_last_resort_needs_the_system_that_ran(lab: Lab, whole: dict[str, Host]) -> None:
    """What the host would boot is another one, which nobody has tried: it does not reboot into that by itself."""
    host = whole["host3"]
    before, boot = systems(host).running, host.leader
    other = build(host, version="other")
    host.run(f"nix-env -p /nix/var/nix/profiles/system --set {other} && {other}/bin/switch-to-configuration boot")
    try:
        settings: dict[str, Any] = {
            "limits": SHORT | {"rollback": 20},
            "reconnect_timeout": 30,
            "allow": ["untested_boot_default"],
        }
        with deploying(lab, host, build(host, "breaks-sshd"), last_resort_reboot="auto", **settings) as deployment:
            assert deployment.end(180) != 0
        wait_for(lambda: last_record(host).get("outcome") == "rollback-failed", 60, 0.2, journal(host))
        time.sleep(5)
        assert host.leader == boot
        now = systems(host)
        assert (now.running, now.boot_default, now.loader) == (before, other, other)
    finally:
        lab.reset([host])


def test_last_resort_of_a_system_that_wraps_another(lab: Lab, whole: dict[str, Host]) -> None:
    """What runs is called otherwise than what boots, and is the same: the host reboots into it."""

    def case(host: Host, shape: str) -> None:
        wrapping, boot = build(host, shape), host.leader
        with deploying(lab, host, wrapping) as first:
            assert first.end() == 0, first.output
        before = systems(host)
        assert (before.boot_default, before.loader) == (wrapping, before.running)
        assert before.running != wrapping
        settings: dict[str, Any] = {"limits": SHORT | {"rollback": 20}, "reconnect_timeout": 60}
        with deploying(lab, host, build(host, "breaks-sshd"), **settings) as deployment:
            boots_again(host, boot, 240)
            assert deployment.end(180) != 0, deployment.output
        record, now = last_record(host), systems(host)
        assert (record["outcome"], record["rung"], record["boot"]) == ("rollback-failed", "reboot", wrapping), record
        assert (now.running, now.booted) == (before.running, before.running)
        assert (now.boot_default, now.loader) == (wrapping, before.running)
        wait_for(lambda: host.ssh("true").returncode == 0, 20, 0.2)

    hosts = list(whole.values())[:2]
    try:
        at_once({host: partial(case, shape=shape) for host, shape in zip(hosts, ("joined", "wrapped"), strict=True)})
    finally:
        lab.reset(hosts)
