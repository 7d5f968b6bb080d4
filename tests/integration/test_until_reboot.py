# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A system that is tested, confirmed, and yet not kept: it runs until the next reboot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from integration.commanding import Command, destination, limits, reaching, results
from integration.faulting import (
    FINAL,
    QUICK,
    Deploying,
    at_once,
    build,
    deploying,
    deploys_again,
    inside,
    is_whole,
    last_record,
    nobody_confirms,
    state,
    units_stopped,
)
from integration.playing import Played, outcomes, play, remains, systems
from integration.test_fault_record import held_at_its_line, kill_all
from integration.test_info import info, states
from integration.test_prebuilt import deploy_prebuilt

from lab import Host, Lab


def until_reboot(lab: Lab, host: Host, toplevel: str, *, confirm: bool = True) -> Deploying:
    """Deploy a system that is built already until the next reboot; without `confirm` nobody confirms it."""
    given = {"toplevel": toplevel, "until_reboot": True, "confirm": confirm, "limits": QUICK, "reconnect_timeout": 60}
    tasks = [{"deploy_flake.nixos.flake_deploy": given, "become": True}]
    return Deploying(lab, host, [{"hosts": "all", "gather_facts": False, "tasks": tasks}])


def boot_side(host: Host) -> str:
    """The system profile and all that the boot loader has: their names, content and times."""
    script = """
    ls -dl --time-style=full-iso /nix/var/nix/profiles/system*
    find /boot -type f -exec stat -c '%n %Y %s' {} + -exec cksum {} +
    """
    return host.run(script, check=True).stdout


def reboots(host: Host) -> None:
    """By a power cycle."""
    host.power_off()
    host.power_on()


def test_whole_way(lab: Lab, whole: dict[str, Host], command: Command, tmp_path: Path) -> None:
    """By the role and by the command, one after the other; left by a rollback, kept by a deploy, ended by a reboot."""
    host = whole["host1"]
    before, boots = systems(host).running, boot_side(host)
    one = build(host, version="until-one")

    def tried(toplevel: str, **more: Any) -> Played:
        return deploy_prebuilt(lab, tmp_path, host, toplevel, deploy_flake_until_reboot=True, **more)

    # What does not go together is found before anything is begun.
    wrong = tried(one, deploy_flake_all_or_nothing=True, deploy_flake_on_reboot_required="boot")
    assert wrong.code != 0
    assert "until_reboot" in wrong.failure(host.name)["msg"], wrong.output
    assert "on_reboot_required 'boot' and all_or_nothing" in wrong.failure(host.name)["msg"], wrong.output
    assert (systems(host).running, boot_side(host)) == (before, boots)

    checked = tried(one, deploy_flake_health_checks={"units": ["sshd.service"]})
    assert checked.code == 0, checked.output
    result = checked.of(host.name, "system_boot")
    assert (result["state"], result["changed"], result["reboot_required"]) == ("until-reboot", True, False)
    is_whole(host, one, "until-reboot", boots=before)
    assert boot_side(host) == boots
    # Nothing but what runs keeps it.
    host.run("nix-store --gc", check=True, timeout=120)
    assert host.run(["nix-store", "--check-validity", one]).returncode == 0
    two = build(host, version="until-two")
    found = info(lab, tmp_path, host)
    assert (states(found), found["reboot_required"]) == (["until-reboot"], False)

    known = outcomes(host)
    again = tried(one)
    assert (again.code, again.of(host.name, "system_test")["state"]) == (0, "unchanged"), again.output
    assert again.of(host.name, "system_test")["boot_loader_default"] == before
    assert outcomes(host) == known

    # Another one leads back to it, whether it fails by itself or nobody confirms it.
    broken = tried(build(host, "exit-4"))
    assert broken.code != 0
    is_whole(host, one, "rolled-back", boots=before)
    with until_reboot(lab, host, two, confirm=False) as waits:
        assert waits.end() == 0, waits.output
        nobody_confirms(host)
        is_whole(host, one, "rolled-back", boots=before)
    assert states(info(lab, tmp_path, host)) == ["until-reboot"]

    given = [destination(host, host.name), "--toplevel", two, "--until-reboot", *reaching([host]), *limits()]
    code, lines = command.json(*given)
    told = results(lines)[host.address]
    assert (code, told["outcome"], told["state"]) == (0, "until-reboot", "until-reboot"), lines
    is_whole(host, two, "until-reboot", boots=before)
    assert boot_side(host) == boots

    # Whoever rolls back wants to leave it.
    back = play(lab, tmp_path, "deploy_flake.nixos.rollback", [host.name], deploy_flake_limits=QUICK)
    assert back.code == 0, back.output
    is_whole(host, before, "committed")

    # A deploy keeps it.
    assert tried(one).code == 0
    is_whole(host, one, "until-reboot", boots=before)
    kept = deploy_prebuilt(lab, tmp_path, host, one)
    assert (kept.code, kept.of(host.name, "system_boot")["state"]) == (0, "committed"), kept.output
    is_whole(host, one, "committed")
    # And then there is nothing else to do.
    assert tried(one).of(host.name, "system_test")["state"] == "unchanged"

    assert tried(two).code == 0
    is_whole(host, two, "until-reboot", boots=one)
    reboots(host)
    assert (systems(host).running, systems(host).boot_default, remains(host)) == (one, one, "")
    assert states(info(lab, tmp_path, host)) == []
    # The record is of another boot: what somebody makes live by hand was confirmed by nobody.
    host.run([f"{two}/bin/switch-to-configuration", "test"], check=True, timeout=60)
    assert states(info(lab, tmp_path, host)) == ["tested-not-confirmed"]
    reboots(host)


def test_whoever_dies_at_its_end(lab: Lab, whole: dict[str, Host]) -> None:
    """Before its line it is as before, from then on it is as the line says; and a power cut ends it in any case."""

    def confirmed(host: Host) -> None:
        """Both units are killed, and the supervisor has not seen yet that it was confirmed."""
        before, new = systems(host).running, build(host, version="until-killed")
        with until_reboot(lab, host, new, confirm=False) as deployment:
            assert deployment.end() == 0, deployment.output
            with units_stopped(host):
                (window,) = inside(host, "/run/deploy-flake").glob("*-*/window")
                window.rename(window.with_name("confirmed"))
                kill_all(host)
            is_whole(host, before, "rolled-back")

    def recorded(host: Host) -> None:
        before, new = systems(host).running, build(host, version="until-recorded")
        with held_at_its_line(host) as its_line, until_reboot(lab, host, new) as deployment:
            its_line()
            assert state(host) not in FINAL
            kill_all(host)
            inside(host, "/run/its-line").unlink()
            assert deployment.end() == 0, deployment.output
            is_whole(host, new, "until-reboot", boots=before)
        with deploying(lab, host, new, limits=QUICK) as deployment:
            assert deployment.end() == 0, deployment.output
        is_whole(host, new, "committed")

    def power(host: Host) -> None:
        """The line is on the disk, and what comes after it is not done."""
        before, new = systems(host).running, build(host, version="until-power")
        with held_at_its_line(host) as its_line, until_reboot(lab, host, new) as deployment:
            its_line()
            host.power_off()
            deployment.kill()
            host.power_on()
        assert (systems(host).running, systems(host).boot_default) == (before, before)
        deploys_again(lab, host)
        assert "is now over" in last_record(host)["notes"]

    # The third one's sync is busybox's own.
    first, second, third = whole.values()
    at_once({first: power, second: recorded, third: confirmed})
