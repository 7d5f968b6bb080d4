# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment writes down: with a full /run, of output without an end, of what is no text; and what it keeps."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
from integration.committing import commit_fails
from integration.faulting import (
    FINAL,
    SHORT,
    SWITCH_LOCK,
    UNIT,
    Deploying,
    at_once,
    build,
    deploying,
    deploys_again,
    directory,
    inside,
    is_whole,
    journal,
    last_record,
    locked,
    next_system,
    nobody_confirms,
    settled,
    state,
    wait_for,
)
from integration.playing import DEPLOY, FLAKE, remains, systems
from integration.test_secrets import secrets_alone

from lab import Host, Lab

# How long /run is full: longer than a window, shorter than what the test waits for.
A_WHILE = 25


@contextmanager
def full_run(host: Host) -> Iterator[None]:
    """/run without one free byte: not by a file, which would be as large as a share of this machine's memory."""
    # Somebody may have written there since it was asked.
    smaller = "mount -o remount,size=$(($(df -k --output=used /run | tail -n 1)))k /run"
    bash(host, f"for turn in 1 2 3 4 5 6 7 8 9; do {smaller} && exit; done; exit 1")
    bash(host, "cat /dev/zero >/run/filler 2>/dev/null; [ $(($(df -k --output=avail /run | tail -n 1))) = 0 ]")
    try:
        yield
    finally:
        bash(host, "rm -f /run/filler; mount -o remount,size=20% /run")


def bash(host: Host, script: str) -> str:
    """Run it with the machine's own tools: those of busybox's shell are others."""
    return host.run(["bash", "-c", script], check=True).stdout.strip()


def texts(value: Any) -> Iterator[str]:
    """Every text in a record."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from texts(each)


def record_is_sound(host: Host) -> None:
    """Each deployment has one line, which is JSON, UTF-8, without what a terminal obeys, and not large."""
    written = (host.root / "var/lib/deploy-flake/deployments.jsonl").read_bytes()
    assert written.endswith(b"\n")
    records = [json.loads(line.decode()) for line in written.splitlines()]
    assert all(len(line) < 64 << 10 for line in written.splitlines())
    twice = [name for name, count in Counter(record["id"] for record in records).items() if count > 1]
    assert not twice, twice
    for text in (each for record in records for each in texts(record)):
        bad = [char for char in text if (char < " " and char not in "\n\t") or "\x7f" <= char <= "\x9f"]
        assert not bad, text


def is_true(host: Host, before: str, new: str) -> str:
    """How the deployment ended; the host runs and boots what that means."""
    settled(host, 90)
    record_is_sound(host)
    outcome = last_record(host)["outcome"]
    assert outcome in ("committed", "rolled-back", "refused"), f"{last_record(host)}\n{journal(host)}"
    is_whole(host, new if outcome == "committed" else before, outcome)
    return str(outcome)


# /run is full


def full_in_the_window(lab: Lab, host: Host) -> None:
    """It expires, and is undone, while there is no room."""
    before = systems(host).running
    with deploying(lab, host, next_system(host), confirm=False, limits=SHORT | {"confirm": 4}) as deployment:
        deployment.wait_for("window")
        with full_run(host):
            began = time.monotonic()
            wait_for(lambda: state(host) != "window", 15)
            time.sleep(max(0, began + A_WHILE - time.monotonic()))
        deployment.end()
    is_whole(host, before, "rolled-back")


def full_at_the_beginning(lab: Lab, host: Host) -> None:
    """It is refused, or does its work."""
    before, new = systems(host).running, next_system(host)
    with full_run(host), deploying(lab, host, new) as deployment:
        began = time.monotonic()
        code = deployment.end(120)
        time.sleep(max(0, began + A_WHILE - time.monotonic()))
    if last_record(host).get("to") == new:
        assert (is_true(host, before, new) == "committed") == (code == 0)
    else:
        assert code != 0
        settled(host)
        assert systems(host).running == systems(host).boot_default == before


def full_while_activating(lab: Lab, host: Host) -> None:
    """Whatever becomes of it is what is told."""
    before, new = systems(host).running, build(host, "slow")
    with deploying(lab, host, new, reconnect_timeout=120) as deployment:
        deployment.wait_for("activating")
        with full_run(host):
            time.sleep(A_WHILE)
        code = deployment.end(150)
    assert (is_true(host, before, new) == "committed") == (code == 0)


def full_during_the_undo(lab: Lab, host: Host) -> None:
    """The host goes back all the same."""
    before = systems(host).running
    with deploying(lab, host, next_system(host), confirm=False) as deployment:
        deployment.wait_for("window")
        with locked(host, SWITCH_LOCK) as let_go:
            nobody_confirms(host)
            wait_for(lambda: state(host) == "rolling-back")
            with full_run(host):
                let_go()
                time.sleep(A_WHILE)
        deployment.end()
    is_whole(host, before, "rolled-back")


@pytest.mark.parametrize(
    "cases",
    [(full_in_the_window, full_at_the_beginning, full_while_activating), (full_during_the_undo,)],
    ids=["until the end of the window", "during the undo"],
)
def test_run_is_full(lab: Lab, whole: dict[str, Host], cases: tuple[Callable[[Lab, Host], None], ...]) -> None:
    """For a while: a deployment's state has a place of its own, and the next one works."""

    def case(one: Callable[[Lab, Host], None], host: Host) -> None:
        one(lab, host)
        deploys_again(lab, host)
        record_is_sound(host)

    at_once({host: partial(case, one) for host, one in zip(whole.values(), cases, strict=False)})


def test_a_unit_fills_run(lab: Lab, whole: dict[str, Host]) -> None:
    """One of the new system, beginning with its start."""
    host = whole["host2"]
    before, new = systems(host).running, build(host, "fills-run")
    bash(host, "mount -o remount,size=64m /run")
    try:
        with deploying(lab, host, new) as deployment:
            code = deployment.end(150)
            assert int(bash(host, "df -k --output=avail /run | tail -n 1")) < 1000
        assert (is_true(host, before, new) == "committed") == (code == 0)
    finally:
        bash(host, "systemctl stop filler.service; rm -f /run/filler; mount -o remount,size=20% /run")
    deploys_again(lab, host)


def test_build_that_can_not_begin(lab: Lab, whole: dict[str, Host]) -> None:
    """Without room in /run systemd starts nothing: said as that, and nothing is left there."""
    host = whole["host2"]
    before = systems(host)
    with full_run(host), Deploying(lab, host, DEPLOY, deploy_flake_flake=str(FLAKE)) as deployment:
        assert deployment.end() != 0
        assert "is full" in deployment.output or "is /run full?" in deployment.output, deployment.output
    assert systems(host) == before
    assert remains(host) == ""
    deploys_again(lab, host)


def test_build_whose_result_has_no_room(lab: Lab, whole: dict[str, Host]) -> None:
    """It has ended, and cannot say so: nobody waits for its word."""
    host = whole["host2"]
    before = systems(host)
    variables = {"deploy_flake_flake": str(FLAKE), "deploy_flake_configuration": "host2-slow-build"}
    with Deploying(lab, host, DEPLOY, **variables) as deployment:
        logs = inside(host, "/run/deploy-flake")
        wait_for(lambda: any("step 2 of" in log.read_text(errors="replace") for log in logs.glob("build-*/log")))
        with full_run(host):
            assert deployment.end() != 0
        assert "could not write its result to /run" in deployment.output, deployment.output
    assert systems(host) == before
    deploys_again(lab, host)


# Output


@contextmanager
def watched(host: Host) -> Iterator[Callable[[], int]]:
    """How many bytes the deployment's directory had at most; that is memory."""
    most = 0
    over = threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(0.05):
            with contextlib.suppress(OSError):
                if found := directory(host):
                    most = max(most, sum(entry.stat().st_size for entry in os.scandir(found)))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield lambda: most
    finally:
        over.set()
        watcher.join()


def test_output_without_an_end(lab: Lab, whole: dict[str, Host]) -> None:
    """What was printed last is kept, and neither memory is filled nor anybody held up."""

    def case(fault: str, outcome: str, host: Host) -> None:
        before, new = systems(host).running, build(host, fault)
        limits = SHORT | {"activate": 25 if fault == "prints-much" else 8, "confirm": 20}
        confirm = outcome != "nobody"
        with watched(host) as most, deploying(lab, host, new, confirm=confirm, limits=limits) as deployment:
            deployment.wait_for("activating", limit=90)
            if not confirm:
                deployment.wait_for("window")
                time.sleep(3)
                deployment.end()
            assert (deployment.end() == 0) == (outcome in ("committed", "nobody")), deployment.output
            assert len(deployment.output) < 64 << 10
            settled(host)
        assert 0 < most() < 2 << 20, most()
        record_is_sound(host)
        if outcome == "committed":
            is_whole(host, new, outcome)
        else:
            is_whole(host, before, "rolled-back")
        if fault == "prints-for-ever":
            assert "did not end within 8 s" in last_record(host)["why"], last_record(host)
            assert "without an end" in last_record(host)["log"]
        deploys_again(lab, host)

    faults = (("prints-much", "committed"), ("prints-for-ever", "rolled-back"), ("unit-prints-for-ever", "nobody"))
    at_once({host: partial(case, *fault) for host, fault in zip(whole.values(), faults, strict=True)})


def test_one_line_without_an_end(lab: Lab, whole: dict[str, Host]) -> None:
    """A unit that has failed is quoted; not all of it."""
    host = whole["host3"]
    before = systems(host).running
    with deploying(lab, host, build(host, "unit-prints-much")) as deployment:
        assert deployment.end() != 0
        assert "units have failed: loud.service" in deployment.output
        assert len(deployment.output) < 200 << 10
    is_whole(host, before, "rolled-back")
    record_is_sound(host)


def test_bytes_that_are_no_text(lab: Lab, whole: dict[str, Host]) -> None:
    """Printed by an activation and by a unit that has failed: neither the record nor a terminal gets them."""

    def case(host: Host) -> None:
        before = systems(host).running
        with deploying(lab, host, build(host, "prints-bytes")) as deployment:
            assert deployment.end() != 0
            printed = deployment.said.read_bytes()
        assert not {"\x1b", "\x9b"} & set(printed.decode()), printed
        is_whole(host, before, "rolled-back")
        record_is_sound(host)
        record = last_record(host)
        for said in (record["log"], record["journal"]):
            assert "not UTF-8: " in said, said
            assert "[31m" in said, record

    at_once(dict.fromkeys(whole.values(), case))


# What decides


def kill_all(host: Host) -> None:
    """Both units as the kernel does, at the same moment as far as one can."""
    slices = host.cgroup / "machine/payload/system.slice"
    for kill in [slices / UNIT / "cgroup.kill", *slices.glob("deploy-flake-guard-*.service/cgroup.kill")]:
        with contextlib.suppress(OSError):
            kill.write_text("1")


# In the place of sync: when a line is on disk it waits there, for as long as that file is there.
SYNC = """#!/usr/bin/dash
/run/sync.real "$@"
case $* in *deployments.jsonl) : >/run/its-line; while [ -e /run/its-line ]; do sleep 0.05; done ;; esac
"""


@contextmanager
def held_at_its_line(host: Host) -> Iterator[Callable[[], Any]]:
    """Hold a deployment where its line is written and nothing that comes after it; gives what waits for that."""
    bash(host, f"cp /usr/bin/sync /run/sync.real; printf %s '{SYNC}' >/run/sync.held; chmod +x /run/sync.held")
    bash(host, "mount --bind /run/sync.held /usr/bin/sync")
    try:
        yield lambda: wait_for(lambda: inside(host, "/run/its-line").exists(), 90)
    finally:
        bash(host, "umount -l /usr/bin/sync; rm -f /run/its-line /run/sync.*")


def test_kills_between_the_line_and_the_state(lab: Lab, whole: dict[str, Host]) -> None:
    """The line decides: whoever goes on does not decide again, and otherwise, as where the boot loader fails by now."""

    def case(host: Host, *outcomes: str) -> None:
        for outcome in outcomes:
            before = systems(host).running
            new = build(host, "check-fails") if outcome == "refused" else next_system(host)
            confirm = outcome == "committed"
            held = ExitStack()
            # Beforehand: some come to their line at once.
            its_line = held.enter_context(held_at_its_line(host))
            with held, deploying(lab, host, new, confirm=confirm) as deployment:
                if outcome == "rolled-back":
                    assert deployment.end() == 0, deployment.output
                    nobody_confirms(host)
                its_line()
                line = (host.root / "var/lib/deploy-flake/deployments.jsonl").read_text().splitlines()[-1]
                assert f'"outcome": "{outcome}"' in line, line
                assert state(host) not in FINAL
                host.run("mount -o remount,ro /boot", check=True)
                kill_all(host)
                held.close()
                wait_for(lambda: state(host) in ("", *FINAL), 60)
                host.run("mount -o remount,rw /boot", check=True)
                code = deployment.end()
            is_whole(host, new if confirm else before, outcome)
            record_is_sound(host)
            assert (code == 0) == (outcome != "refused"), deployment.output

    first, second, _busybox = whole.values()
    at_once({first: lambda host: case(host, "committed"), second: lambda host: case(host, "rolled-back", "refused")})


# What is kept


def ends(lab: Lab, host: Host, system: str, outcome: str) -> None:
    """Deploy it; it ends like this."""
    with deploying(lab, host, system) as deployment:
        assert (deployment.end() == 0) == (outcome == "committed"), deployment.output
    wait_for(lambda: not state(host))
    assert (last_record(host)["to"], last_record(host)["outcome"]) == (system, outcome), last_record(host)


def test_both_systems_are_kept_until_a_later_commit(lab: Lab, whole: dict[str, Host]) -> None:
    """The boot loader starts a system that nothing else names: neither a refusal nor a rollback lets go of it."""
    host = whole["host1"]
    # No generation of an earlier test keeps it.
    before, new = systems(host).running, build(host, version="kept")
    commit_fails(lab, host, new)
    ends(lab, host, build(host, "check-fails"), "refused")
    ends(lab, host, build(host, "exit-4"), "rolled-back")
    # One of secrets alone commits, and writes neither profile nor boot loader.
    with secrets_alone(lab, host, secrets=[{"name": "x", "path": "/etc/secrets/x", "content": "y"}]) as task:
        assert task.end() == 0, task.output
    wait_for(lambda: not state(host))
    host.run("rm -r /etc/secrets /var/lib/deploy-flake/secrets", check=True)
    assert (last_record(host)["outcome"], last_record(host)["only_secrets"]) == ("committed", "yes")
    host.run("nix-store --gc", check=True, timeout=120)
    host.run(f"nix-store --check-validity {before} {new}", check=True)
    assert (host.root / new.removeprefix("/") / "init").exists()
    host.run("mount -o remount,rw /boot", check=True)
    later = build(host, version="later")
    ends(lab, host, later, "committed")
    is_whole(host, later, "committed")
    dead = host.run("nix-store --gc --print-dead", check=True).stdout
    assert new in dead, host.run(["nix-store", "--query", "--roots", new]).stdout
