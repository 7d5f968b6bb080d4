# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems that cannot be activated, or should not stay: each is refused or undone, and the report says why."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from integration.faulting import (
    SHORT,
    at_once,
    build,
    deploying,
    is_whole,
    last_record,
    next_system,
    nobody_confirms,
    processes,
    settled,
    wait_for,
)
from integration.playing import systems

from lab import Host, Lab


class Fault(NamedTuple):
    """A configuration with a fault, how its deployment ends, what is said, and what it needs to show itself."""

    name: str
    outcome: str
    said: str
    limits: dict[str, int] = {}  # noqa: RUF012 (nobody changes it)
    options: dict[str, Any] = {}  # noqa: RUF012
    confirm: bool = True


HANGS = {"activate": 4}
NOBODY = {"confirm": 5}
MAY_FAIL = {"ignore_units": ["broken.service"]}
REBOOTS = {"on_reboot_required": "boot"}
BEHIND = "the activation script of the new system failed, behind a switch-to-configuration test that exited 4"
FAULTS = [
    Fault("hangs", "rolled-back", "did not end within 4 s", HANGS),
    Fault("hangs-ignoring-term", "rolled-back", "did not end within 4 s", HANGS),
    Fault("hangs-orphan", "rolled-back", "did not end within 4 s", HANGS),
    Fault("start-hangs", "rolled-back", "did not end within 4 s", HANGS),
    Fault("exit-1", "rolled-back", "switch-to-configuration test exited 1"),
    Fault("exit-1-late", "rolled-back", "switch-to-configuration test exited 1"),
    Fault("exit-2", "rolled-back", "switch-to-configuration test exited 2"),
    Fault("exit-4", "rolled-back", "units have failed: broken.service"),
    Fault("dies-later", "rolled-back", "units have failed: dies-later.service", {"settle": 4}),
    Fault("sshd-broken-config", "rolled-back", "sshd"),
    Fault("broken-timeout", "rolled-back", "timeout or readlink does not do its work"),
    Fault("no-sshd", "rolled-back", "nobody confirmed the new system within 5 s", NOBODY, {"allow": ["no_ssh"]}),
    Fault("broken-dbus", "rolled-back", "switch-to-configuration test exited 1"),
    Fault("broken-path", "rolled-back", "timeout or readlink does not do its work"),
    Fault("firewall", "rolled-back", "nobody confirmed the new system within 5 s", NOBODY),
    Fault("broken-logind", "rolled-back", "switch-to-configuration test exited 11"),
    Fault("boot-fails", "rolled-back", "the boot loader could not be prepared: switch-to-configuration boot exited 1"),
    Fault("boot-fails-after-write", "rolled-back", "the boot loader could not be prepared"),
    Fault("exit-100", "refused", "needs a reboot"),
    Fault("inhibitor", "refused", "the new system needs a reboot, and nothing was activated: it changes"),
    Fault("check-fails", "refused", "pre-switch checks of the new system failed"),
    Fault("check-refuses-way-back", "rolled-back", "nobody confirmed", confirm=False),
    # Every user who is logged in is switched as well, and host2 and host3 are reached as one.
    Fault("user-activation-fails", "rolled-back", "the units of users who are logged in failed while the system was"),
    Fault("user-activation-hangs", "rolled-back", "did not end within 6 s", {"activate": 6}),
    Fault("sshd-not-wanted", "rolled-back", "the ssh unit is not started with the new system's default target"),
    Fault("other-host-key", "rolled-back", "host keys have changed or gone: /etc/ssh/ssh_host_ed25519_key"),
    Fault("no-authorized-keys", "rolled-back", "the new system has no authorized keys for deploy"),
    Fault("check-hangs", "refused", "switch-to-configuration check did not end within 3 s", {"check": 3}),
    Fault("boot-hangs", "rolled-back", "switch-to-configuration boot did not end within 6 s", {"commit": 6}),
    Fault("stop-hangs", "rolled-back", "nobody confirmed", {"rollback": 6}, confirm=False),
    # Exit 4: more than a unit, or none that has failed; and a check that is not the inhibitors'.
    Fault("exit-2-and-4", "rolled-back", f"{BEHIND}: Activation script snippet 'fails' failed (1)", options=MAY_FAIL),
    Fault("exit-2-and-4-untold", "rolled-back", f"{BEHIND}: activate, run once more, exited 1", options=MAY_FAIL),
    Fault("exit-4-untold", "rolled-back", "units have failed: broken.service"),
    Fault("reload-fails", "rolled-back", "units failed while the system was activated: mirror.service"),
    Fault("inhibitor-and-check", "refused", "pre-switch check 'zz-never' failed", options=REBOOTS),
    Fault("inhibitor-new-and-check", "refused", "pre-switch check 'never' failed", options=REBOOTS),
]


def tried(lab: Lab, host: Host, fault: Fault) -> None:
    """Deploy the fault, and look at the host and at what was said."""
    before = systems(host).running
    settings = {"confirm": fault.confirm, "limits": SHORT | fault.limits, **fault.options}
    with deploying(lab, host, build(host, fault.name), **settings) as deployment:
        assert (deployment.end() != 0) == fault.confirm, deployment.output
        assert (fault.said in deployment.output) == fault.confirm, deployment.output
        if fault.said.startswith("units have failed: "):
            unit = fault.said.rpartition(" ")[2]
            assert f"{unit}: {unit}: Failed with result 'exit-code'" in deployment.output, deployment.output
    if not fault.confirm:
        nobody_confirms(host)
    settled(host)
    record = last_record(host)
    is_whole(host, before, fault.outcome)
    assert fault.said in record["why"] or fault.said in record["notes"], record
    assert fault.outcome != "rolled-back" or record["rung"], record
    # The way back has an output of its own.
    assert f"--- switch-to-configuration test of {before}" not in record["log"], record
    assert record["rung"] != "test" or f"test of {before}" in record["undo_log"], record
    if fault.name == "exit-2-and-4":
        # Much was printed behind the reason, which is there all the same.
        reasons, _mark, end = record["log"].partition("\n…\n")
        assert "snippet 'fails' failed (1)" in reasons, record
        assert "snippet" not in end, record
        assert "'user100.users'" in end, record
    if fault.name == "broken-dbus":
        assert record["rung"] == "restart-bus", record
    if fault.name == "stop-hangs":
        # The first way back took too long.
        assert record["rung"] == "restart-bus", record
    if fault.name == "hangs-orphan":
        # Else it would make the new system the current one some seconds later.
        assert host.run("pgrep -f 'ln -sfn'").stdout == ""


@pytest.mark.parametrize("first", range(0, len(FAULTS), 3), ids=lambda first: FAULTS[first].name)
def test_faults_of_a_system(lab: Lab, whole: dict[str, Host], first: int) -> None:
    """Three at a time; busybox as /bin/sh, on host3, has tools of its own, so that broken ones do not matter there."""
    cases = dict(zip(whole.values(), FAULTS[first : first + 3], strict=True))
    at_once({host: partial(tried, lab, fault=fault) for host, fault in cases.items()})


def test_failures_that_may_be(lab: Lab, whole: dict[str, Host]) -> None:
    """One of a form that says nothing of its activation script, which is run again; two that are named and are well."""
    cases: dict[str, tuple[str, dict[str, Any], str]] = {
        "host1": ("exit-4-untold", {"ignore_units": ["broken.*"]}, "broken.service"),
        "host2": ("reload-fails", {"ignore_units": ["mirror.service"]}, "mirror.service"),
        "host3": ("user-activation-fails", {"allow": ["user_failures"]}, "the units of deploy"),
    }

    def commits(host: Host) -> None:
        fault, options, named = cases[host.name]
        system = build(host, fault)
        with deploying(lab, host, system, limits=SHORT, **options) as deployment:
            assert deployment.end() == 0, deployment.output
        settled(host)
        record = last_record(host)
        assert (record["outcome"], systems(host).running, systems(host).boot_default) == ("committed", system, system)
        assert f"failed while the system was activated, as it may: {named}" in record["notes"], record

    at_once({whole[name]: commits for name in cases})
    # On the way back as well such a system is switched to, and its users' units fail once more.
    host = whole["host3"]
    before = systems(host).running
    with deploying(lab, host, build(host, "exit-2")) as deployment:
        assert deployment.end() != 0, deployment.output
    is_whole(host, before, "rolled-back")
    record = last_record(host)
    assert record["rung"] == "test", record
    assert "user activation for deploy failed" in record["undo_log"], record
    lab.reset([whole[name] for name in cases])


def test_an_earlier_failure_of_the_same_unit_is_not_told_again(lab: Lab, whole: dict[str, Host]) -> None:
    host = whole["host1"]
    earlier = (
        "systemd-run -q --wait --unit=broken.service sh -c 'echo of old; exit 7'; systemctl reset-failed broken.service"
    )
    host.run(earlier, check=True)
    # The journal is asked by whole seconds, and rather for one more.
    time.sleep(3)
    with deploying(lab, host, build(host, "exit-4")) as deployment:
        assert deployment.end() != 0, deployment.output
        assert "broken.service: broken.service: Failed with result 'exit-code'" in deployment.output, deployment.output
    settled(host)
    told = last_record(host)["journal"]
    assert told.count("Failed with result 'exit-code'") == 1, told
    assert "of old" not in told
    # It is in the journal all the same.
    assert "of old" in host.run("journalctl --no-pager -q -o cat -u broken.service", check=True).stdout


def test_activation_that_the_kernel_kills(lab: Lab, whole: dict[str, Host]) -> None:
    """Where memory is short: rolled back at once, and not told as one that was too slow."""
    host = whole["host2"]
    before = systems(host).running
    with deploying(lab, host, build(host, "hangs")) as deployment:
        deployment.wait_for("activating", pause=0.002)

        # The one that has begun with the activation script, which hangs.
        wait_for(lambda: any(b"sleep\0infinity\0" in command_line(pid) for pid in processes(host)))
        os.kill(next(pid for pid in processes(host) if is_switching(pid)), signal.SIGKILL)
        assert deployment.end() != 0
        said = "switch-to-configuration test was killed (status 137; out of memory?)"
        assert said in deployment.output, deployment.output
    is_whole(host, before, "rolled-back")


def is_switching(pid: int) -> bool:
    """Whether it is switch-to-configuration itself, and not what limits its time."""
    said = command_line(pid)
    return b"switch-to-configuration\0" in said and b"timeout\0" not in said


def command_line(pid: int) -> bytes:
    """What it was started with."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_timeout_that_does_nothing(lab: Lab, whole: dict[str, Host]) -> None:
    """First in PATH it would make all commands look as if they had worked: a host that has one is refused."""
    host = whole["host1"]
    before, tool = systems(host), "/run/wrappers/bin/timeout"
    host.run(f"printf '#!/bin/sh\\nexit 0\\n' >{tool} && chmod +x {tool}", check=True)
    try:
        with deploying(lab, host, next_system(host)) as deployment:
            assert deployment.end() != 0
            assert "has a timeout or readlink in /run/wrappers/bin:" in deployment.output, deployment.output
    finally:
        host.run(f"rm {tool}", check=True)
    assert systems(host) == before


def test_systemd_is_executed_again(lab: Lab, whole: dict[str, Host]) -> None:
    """A changed system.conf, in the middle of the activation: supervisor, guard and their limits outlive it."""
    host = whole["host3"]
    system = build(host, "changes-system-conf")
    with deploying(lab, host, system) as deployment:
        assert deployment.end() == 0, deployment.output
    is_whole(host, system, "committed")
    # The manager of such a host may lose track of its logins.
    lab.reset([host])
