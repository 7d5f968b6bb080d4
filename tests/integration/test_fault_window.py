# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While a system waits for confirmation: races, reloads of systemd, other controllers and other tools."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from integration.faulting import (
    SHORT,
    SWITCH_LOCK,
    UNIT,
    Deploying,
    build,
    deploying,
    directory,
    guard,
    inside,
    is_whole,
    last_record,
    locked,
    next_system,
    processes,
    state,
    units_stopped,
    wait_for,
)
from integration.playing import change_the_flake, remains, systems

from lab import Host, Lab

PROFILE = "/nix/var/nix/profiles/system"
# One round: the window is there, and a confirmation, a time-out and a revocation all go for it at the same moment.
RACE = """
cd /run && rm -rf race && mkdir race && cd race
round=0
while [ $round -lt 300 ]; do
    rm -rf window confirmed expired revoked go && : >window
    for name in confirmed expired revoked; do
        { until [ -e go ]; do :; done; mv window $name 2>/dev/null && echo $name >>winners.$round; } &
    done
    : >go
    wait
    [ "$(cat winners.$round | wc -l)" = 1 ] || echo "round $round"
    [ "$(ls confirmed expired revoked 2>/dev/null | wc -l)" = 1 ] || echo "round $round"
    cat winners.$round >>winners
    round=$((round + 1))
done
sort winners | uniq -c
cd .. && rm -rf race
"""


def test_only_one_wins_the_window(lab: Lab, whole: dict[str, Host]) -> None:
    """Confirm, time-out and revoke 300 times at once, with the host's own tools."""
    for name in ("host2", "host3"):
        said = whole[name].run(RACE, check=True, timeout=120).stdout
        assert "round" not in said, said
        assert sum(int(line.split()[0]) for line in said.splitlines()) == 300, said


def test_confirmation_races_with_the_end_of_the_window(lab: Lab, whole: dict[str, Host]) -> None:
    """What the controller reports is what the host did, whoever was first."""
    host = whole["host1"]
    for tenths in (19, 21):
        before, new = systems(host).running, next_system(host)
        with deploying(lab, host, new, confirm=False, limits=SHORT | {"confirm": 2, "settle": 0}) as deployment:
            deployment.wait_for("window")
            time.sleep(tenths / 10)
            where = directory(host)
            assert where is not None
            inner = f"/run/deploy-flake/{where.name}"
            won = host.run(f"mv {inner}/window {inner}/confirmed").returncode == 0
        is_whole(host, *((new, "committed") if won else (before, "rolled-back")))


def test_limits_are_kept_through_reloads_of_systemd(lab: Lab, whole: dict[str, Host]) -> None:
    """A timer would start anew at each of them; both units must also live on."""
    host = whole["host2"]
    before = systems(host).running
    with deploying(lab, host, next_system(host), confirm=False, limits=SHORT | {"confirm": 6}) as deployment:
        deployment.wait_for("window")
        where = wait_for(lambda: directory(host))
        opened = (where / "window").stat().st_mtime
        pids = processes(host)[:1] + processes(host, guard(host))[:1]
        for turn in range(20):
            if state(host) != "window":
                break
            host.run(["systemctl", "daemon-reexec" if turn % 3 == 2 else "daemon-reload"], check=True)
            still = processes(host)[:1] + processes(host, guard(host))[:1]
            # The window may have closed meanwhile.
            assert still == pids or not (where / "window").exists()
            time.sleep(0.4)
        wait_for(lambda: state(host) != "window", 20)
        assert 5 <= time.time() - opened < 20
    is_whole(host, before, "rolled-back")


def test_two_controllers_at_once(lab: Lab, whole: dict[str, Host]) -> None:
    """One wins; who does not wait is told who is busy; who waits has its turn; neither touches the other's files."""
    host = whole["host3"]
    first, second = next_system(host), build(host, version="second")
    limits = SHORT | {"settle": 3, "commit": 90}
    with deploying(lab, host, first, limits=limits) as winner, ExitStack() as held:
        winner.wait_for("settling")
        # It does not come to its end before both others have begun.
        held.enter_context(locked(host, SWITCH_LOCK))
        where = directory(host)
        assert where is not None
        files = {
            path.name: path.read_bytes() for path in where.iterdir() if path.name in ("settings", "program", "facts")
        }
        with deploying(lab, host, second, lock_timeout=0) as hasty:
            assert hasty.end() != 0
            assert "another deployment is in progress" in hasty.output, hasty.output
            assert where.name.partition("-")[0] in hasty.output
        with deploying(lab, host, second, lock_timeout=60) as patient:
            wait_for(lambda: "waits up to 60 s" in patient.output or patient.process.poll() is not None)
            assert {name: (where / name).read_bytes() for name in files} == files
            held.close()
            assert winner.end() == 0, winner.output
            assert patient.end() == 0, patient.output
    is_whole(host, second, "committed")


def test_same_build_for_several_controllers(lab: Lab, fresh: dict[str, Host], flake: Path) -> None:
    """One begins it, the others find it running, or built."""
    host = fresh["host1"]
    change_the_flake(flake, "together")
    copy = {"deploy_flake.nixos.flake_copy": {"flake": str(flake)}, "register": "copied"}
    build = {"deploy_flake.nixos.flake_build": {"reference": "{{ copied.reference }}", "configuration": "host1"}}
    plays = [{"hosts": "all", "gather_facts": False, "tasks": [copy, build]}]
    with ExitStack() as block:
        controllers = [block.enter_context(Deploying(lab, host, plays)) for _number in range(4)]
        for controller in controllers:
            assert controller.end() == 0, controller.output


def test_another_tool_switches_in_between(lab: Lab, whole: dict[str, Host]) -> None:
    """Live and boot default are somebody else's now: nothing is touched, and it is said."""
    host = whole["host1"]
    theirs = build(host, version="theirs")
    with deploying(lab, host, next_system(host), limits=SHORT | {"settle": 3}) as deployment:
        deployment.wait_for("settling")
        # Else it might be committed first.
        with units_stopped(host):
            host.run(f"nix-env -p {PROFILE} --set {theirs} && {theirs}/bin/switch-to-configuration switch", check=True)
        assert deployment.end() != 0
        assert "was switched by somebody else" in deployment.output, deployment.output
    is_whole(host, theirs, "superseded")


def test_boot_default_moves_in_between(lab: Lab, whole: dict[str, Host]) -> None:
    """Somebody prepares another system for the next boot: theirs is kept, and ours is not committed."""
    host = whole["host2"]
    theirs, ours = build(host, version="theirs"), next_system(host)
    old = systems(host).running
    with deploying(lab, host, ours, limits=SHORT | {"settle": 3}) as deployment:
        deployment.wait_for("settling")
        # Else it might be committed first.
        with units_stopped(host):
            host.run(f"nix-env -p {PROFILE} --set {theirs} && {theirs}/bin/switch-to-configuration boot", check=True)
        assert deployment.end() != 0
    wait_for(lambda: remains(host) == "", 30, 0.1)
    now = systems(host)
    assert (last_record(host)["outcome"], now.boot_default, now.loader) == ("superseded", theirs, theirs)
    # Nobody confirmed what was tried, and perhaps nobody could.
    assert now.running == old
    host.run(f"{theirs}/bin/switch-to-configuration test")


def test_somebody_else_holds_the_lock(lab: Lab, whole: dict[str, Host]) -> None:
    """Exit 11 while the lock is held: waited for, within the limit."""
    host = whole["host3"]
    system = next_system(host)
    with locked(host, SWITCH_LOCK) as let_go, deploying(lab, host, system) as deployment:
        deployment.wait_for("checking")
        log = wait_for(lambda: directory(host)) / "log"
        wait_for(lambda: log.exists() and log.read_text().count("Could not acquire lock") >= 2)
        assert state(host) == "checking"
        let_go()
        assert deployment.end() == 0, deployment.output
    is_whole(host, system, "committed")


def test_guard_is_stopped_before_anything_is_activated(lab: Lab, whole: dict[str, Host]) -> None:
    """Nobody would undo it then: it goes no further."""
    host = whole["host3"]
    before, system = systems(host).running, next_system(host)
    with locked(host, SWITCH_LOCK) as let_go, deploying(lab, host, system) as deployment:
        deployment.wait_for("checking")
        log = wait_for(lambda: directory(host)) / "log"
        wait_for(lambda: log.exists() and "Could not acquire lock" in log.read_text())
        host.run(f"systemctl stop {guard(host)}", check=True)
        let_go()
        assert deployment.end() != 0
        assert f"{host.name}" in deployment.output and "does not run any more" in deployment.output, deployment.output
    is_whole(host, before, "refused")
    assert last_record(host)["why_code"] == "no-guard"


def test_stray_units_of_the_name(lab: Lab, whole: dict[str, Host]) -> None:
    """A unit of the supervisor's name that has failed does not lock the host for ever."""
    host = whole["host1"]
    host.run(f"systemd-run --quiet --unit={UNIT} --remain-after-exit /bin/false")
    wait_for(lambda: host.run(f"systemctl is-failed {UNIT}").stdout.strip() == "failed")
    system = next_system(host)
    with deploying(lab, host, system) as deployment:
        deployment.end()
        # A host with a failed unit is not strictly well; but it was this unit alone.
        assert deployment.process.returncode == 0, deployment.output
    is_whole(host, system, "committed")


def test_files_in_the_way_are_not_followed(lab: Lab, whole: dict[str, Host]) -> None:
    """The directory must be root's own and no link."""
    host = whole["host2"]
    host.run(
        "rm -rf /run/deploy-flake && mkdir -m 0777 /tmp/elsewhere && ln -s /tmp/elsewhere /run/deploy-flake", check=True
    )
    try:
        with deploying(lab, host, next_system(host)) as deployment:
            assert deployment.end() != 0
            assert "/run/deploy-flake is not a directory of root's alone" in deployment.output
        assert (
            subprocess.run(["ls", str(inside(host, "/tmp/elsewhere"))], capture_output=True, check=True).stdout == b""
        )
    finally:
        host.run("rm -rf /run/deploy-flake /tmp/elsewhere")
