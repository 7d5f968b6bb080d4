# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles that are no NixOS system, on a host that is none either; the programs that activate them are stand-ins."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from integration.commanding import ROOT, Command, destination, reaching, results
from integration.debian import become_debian
from integration.faulting import (
    SHORT,
    Deploying,
    directory,
    kill_both_units,
    kill_main_process,
    kill_whole_cgroup,
    nobody_confirms,
    state,
    wait_for,
)
from integration.playing import Played, play

from lab import Host, Lab

SOURCE = Path(__file__).parent / "profiles_flake"
PROFILE = "/nix/var/nix/profiles/system-manager-profiles/system-manager"
HOME_PROFILE = "/home/deploy/.local/state/nix/profiles/home-manager"
SITE = "/nix/var/nix/profiles/site"
MODULE = "deploy_flake.nixos.profile_deploy"
PLAYBOOK = "deploy_flake.nixos.profiles"
MANAGER: dict[str, Any] = {"kind": "system-manager"}
HOME: dict[str, Any] = {"kind": "home-manager", "user": "deploy", "first": True}
ITS_SITE: dict[str, Any] = {
    "kind": "profile",
    "profile": SITE,
    "attribute": "packages.x86_64-linux.site",
    "first": True,
}
VERSIONS = "cat /etc/lab/version /home/deploy/.config/lab/version /var/lib/site/version"
# A system-manager-engine that somebody has built: these tests are run with it, too, where it is named.
ENGINE = os.environ.get("DEPLOY_FLAKE_SYSTEM_MANAGER_ENGINE", "")
SCHEMA = json.loads((ROOT / "deploy_flake/events.schema.json").read_text())
_MADE: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def nixos_again(lab: Lab) -> Iterator[None]:
    """What other tests expect of host1."""
    yield
    lab.reset([lab.hosts["host1"]])


@pytest.fixture
def debian(lab: Lab) -> Host:
    """host1 of the lab as Debian; made once, and at rest before each test."""
    host = lab.hosts["host1"]
    if not _MADE or host.run("test -e /etc/NIXOS").returncode == 0 or directory(host):
        lab.reset([host])
        become_debian(host)
        _MADE.append(host.name)
    return host


@pytest.fixture
def flake(tmp_path: Path) -> Path:
    """A copy of the flake, for a test to change."""
    copy = tmp_path / "flake"
    shutil.copytree(SOURCE, copy)
    if ENGINE:
        shutil.copy(ENGINE, copy / "engine.bin")
    return copy


def version(flake: Path, name: str, fault: str = "") -> None:
    (flake / "settings.nix").write_text(f'{{ version = "{name}"; fault = "{fault}"; }}\n')


def task(flake: Path, *profiles: dict[str, Any], **options: Any) -> dict[str, Any]:
    given = {"flake": str(flake), "limits": SHORT, "reconnect_timeout": 60, **options}
    return {MODULE: {"profiles": list(profiles or [MANAGER]), **given}}


def plays(*tasks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"hosts": "all", "gather_facts": False, "become": True, "tasks": list(tasks)}]


def deploy(lab: Lab, tmp_path: Path, host: Host, flake: Path, *profiles: dict[str, Any], **options: Any) -> Played:
    return play(lab, tmp_path, plays(task(flake, *profiles, **options)), [host.name])


def committed(played: Played, host: Host) -> dict[str, Any]:
    assert played.code == 0, played.output
    result = played.of(host.name, "profile_deploy")
    assert result["state"] == "committed", result
    one: dict[str, Any] = result["profiles"][0]
    return one


def runs(host: Host, name: str) -> None:
    """What this version brought is there, whole, and nothing of another one."""
    said = host.run(
        "cat /etc/lab/version; systemctl show -p Environment --value lab-web.service; ls /etc/systemd/system"
    ).stdout
    lines = said.split()
    assert lines[:2] == [name, f"VERSION={name}"], said
    assert [line for line in lines if line.startswith("lab-only")] == [f"lab-only-{name}.service"], said
    active = host.run("systemctl list-units --plain --no-legend --state=active 'lab-*'").stdout
    assert {line.split()[0] for line in active.splitlines()} == {"lab-web.service", f"lab-only-{name}.service"}
    # Its process is that version's.
    pid = host.run("systemctl show -p MainPID --value lab-web.service").stdout.strip()
    assert f"VERSION={name}" in host.run(f"tr '\\0' '\\n' </proc/{pid}/environ").stdout.split()


def named(host: Host, profile: str = PROFILE) -> str:
    return host.run(["readlink", "-f", profile]).stdout.strip()


def at_rest(host: Host) -> None:
    """Nothing is left of a deployment."""
    wait_for(lambda: not directory(host), 30)
    left = "ls -d /var/lib/deploy-flake-*/open* /var/lib/deploy-flake-*/live /var/lib/deploy-flake-*/at-boot"
    left += " /etc/systemd/system.attached/deploy-flake-*"
    left += " /nix/var/nix/gcroots/deploy-flake-*/deployment-* /nix/var/nix/gcroots/deploy-flake/* 2>/dev/null"
    wait_for(lambda: host.run(left).stdout == "", 15)


def record(host: Host, of: str = "system-manager") -> dict[str, Any]:
    lines = host.run(f"tail -n 1 /var/lib/deploy-flake-{of}-*/deployments.jsonl").stdout
    found: dict[str, Any] = json.loads(lines)
    return found


@pytest.fixture
def first(lab: Lab, tmp_path: Path, debian: Host, flake: Path) -> Host:
    """The host with a generation that is committed."""
    version(flake, "first")
    played = deploy(lab, tmp_path, debian, flake)
    assert played.code == 0, played.output
    runs(debian, "first")
    return debian


def test_system_manager(lab: Lab, tmp_path: Path, debian: Host, flake: Path) -> None:
    version(flake, "one")
    first = committed(deploy(lab, tmp_path, debian, flake), debian)
    assert named(debian) == first["active_generation"] == first["live"] == first["build"]["toplevel"]
    runs(debian, "one")
    at_rest(debian)
    # For all to read, though our own files are not.
    assert debian.run("stat -c %a /etc/lab /etc/systemd/system/lab-web.service").stdout.split()[0] == "755"

    # Nothing changes.
    again = deploy(lab, tmp_path, debian, flake)
    assert again.code == 0, again.output
    assert again.of(debian.name, "profile_deploy")["state"] == "unchanged"
    assert not again.changed(debian.name)

    version(flake, "two")
    would = play(lab, tmp_path, plays(task(flake)), [debian.name], options="--check")
    assert would.of(debian.name, "profile_deploy")["state"] == "would-test", would.output
    runs(debian, "one")
    second = committed(deploy(lab, tmp_path, debian, flake), debian)
    assert second["previous_generation"] == first["active_generation"]
    assert second["generation"] == first["generation"] + 1
    runs(debian, "two")
    # An earlier one that the host has, and one that another host builds.
    older = deploy(lab, tmp_path, debian, flake, {**MANAGER, "toplevel": first["live"]})
    assert committed(older, debian)["live"] == first["live"]
    runs(debian, "one")
    version(flake, "three")
    other = lab.hosts["host2"]
    brought = committed(deploy(lab, tmp_path, debian, flake, build_on=other.name), debian)
    assert brought["build"]["built_on"] == other.name
    runs(debian, "three")
    at_rest(debian)
    # What the host is not, the operator is told, and what it has.
    told = play(lab, tmp_path, plays({"deploy_flake.nixos.system_info": {}}), [debian.name]).failure(debian.name)
    assert told["reason"] == "no-nixos"
    assert f"committed, {brought['live']}" in told["msg"], told["msg"]
    # It is there after a reboot, and garbage collection takes none that the profile has.
    debian.run("nix-store --gc", check=True)
    debian.power_off()
    debian.power_on()
    runs(debian, "three")


@pytest.mark.parametrize(
    ("fault", "ends", "why"),
    [
        ("exit", "rolled-back", "activation"),
        # Its engine exits 0.
        ("error", "rolled-back", "activation"),
        ("unit-fails", "rolled-back", "units-failed"),
        ("hangs", "rolled-back", "activation"),
        ("assertion", "refused", "pre-switch-checks"),
    ],
)
def test_generation_that_fails(
    lab: Lab, tmp_path: Path, first: Host, flake: Path, fault: str, ends: str, why: str
) -> None:
    before = named(first)
    version(flake, f"bad-{fault}", fault)
    played = deploy(lab, tmp_path, first, flake, limits=SHORT | {"activate": 8})
    failed = played.failure(first.name)
    assert (failed["state"], failed["reason"]) == (ends, why), failed
    assert named(first) == before
    runs(first, "first")
    at_rest(first)


def test_nobody_confirms(lab: Lab, first: Host, flake: Path) -> None:
    version(flake, "unconfirmed")
    with Deploying(lab, first, plays(task(flake, limits=SHORT | {"settle": 0}))) as running:
        wait_for(lambda: state(first) in ("activating", "settling", "window"))
        running.kill()
        wait_for(lambda: state(first) == "window")
        # Neither the one that is tried nor the one to go back to is garbage.
        new = first.run("readlink -f /var/lib/deploy-flake-system-manager-*/live").stdout.strip()
        assert new.startswith("/nix/store/") and new != named(first)
        first.run("nix-store --gc", check=True)
        assert first.run(["nix-store", "--check-validity", new, named(first)]).returncode == 0
        nobody_confirms(first)
        at_rest(first)
    assert record(first)["outcome"] == "rolled-back"
    runs(first, "first")


@pytest.mark.parametrize("kill", [kill_main_process, kill_whole_cgroup])
def test_supervisor_is_killed(lab: Lab, first: Host, flake: Path, kill: Any) -> None:
    version(flake, "killed")
    with Deploying(lab, first, plays(task(flake, limits=SHORT | {"settle": 5}))) as running:
        running.wait_for("settling")
        kill(first)
        at_rest(first)
        running.end()
    assert record(first)["outcome"] == "rolled-back"
    runs(first, "first")


@pytest.mark.parametrize("at", ["activating", "settling", "window", "rebooted"])
def test_power_cut(lab: Lab, first: Host, flake: Path, at: str) -> None:
    """What was activated is still there after the boot, so the host takes it back by itself, whoever can come in."""
    version(flake, f"cut-{at}", "hangs" if at == "activating" else "")
    before = named(first)
    with Deploying(lab, first, plays(task(flake, limits=SHORT | {"settle": 4, "activate": 60}))) as running:
        wait_for(lambda: state(first) == ("settling" if at in ("window", "rebooted") else at))
        if at == "activating":
            wait_for(lambda: f"cut-{at}" in first.run("cat /etc/lab/version").stdout)
        running.kill()
        if at == "window":
            wait_for(lambda: state(first) == at)
        if at == "rebooted":
            # A shutdown that is told is no end either.
            leader = first.leader
            first.run("systemctl reboot")
            wait_for(lambda: first.leader not in (leader, None), 60)
        else:
            first.power_off()
    assert first.root.joinpath("etc/lab/version").is_symlink()
    if at != "rebooted":
        first.power_on(wait=False)
    wait_for(lambda: first.alive and first.run("test -e /run/systemd/system").returncode == 0, 60)
    wait_for(lambda: first.run("ls /var/lib/deploy-flake-*/open.json 2>/dev/null").stdout == "", 60)
    at_rest(first)
    assert record(first)["outcome"] == "interrupted"
    assert named(first) == before
    runs(first, "first")


def test_home_that_comes_late_after_a_power_cut(lab: Lab, tmp_path: Path, flake: Path) -> None:
    """A user's profile beside a NixOS system: as long as the home is not there, nothing is decided."""
    host = lab.hosts["host2"]
    lab.reset([host])
    version(flake, "first")
    committed(deploy(lab, tmp_path, host, flake, HOME), host)
    before, system = named(host, HOME_PROFILE), named(host, "/nix/var/nix/profiles/system")
    assert before.startswith("/nix/store/")
    at_rest(host)
    version(flake, "cut")
    with Deploying(lab, host, plays(task(flake, HOME, limits=SHORT | {"settle": 0, "confirm": 60}))) as running:
        wait_for(lambda: state(host) in ("settling", "window"))
        running.kill()
        host.power_off()
    home = host.root / "home/deploy"
    assert not str((home / ".config/lab/version").readlink()).startswith(before)
    home.rename(host.root / "home/away")
    host.power_on()
    tried = "journalctl -u deploy-flake.service | grep -c 'Is its file system mounted'"
    wait_for(lambda: int(host.run(tried).stdout or 0) >= 2)
    assert host.run("ls /var/lib/deploy-flake-home-manager-*/open.json").returncode == 0
    (host.root / "home/away").rename(home)
    wait_for(lambda: host.run("ls /var/lib/deploy-flake-home-manager-*/open.json 2>/dev/null").stdout == "")
    at_rest(host)
    assert record(host, "home-manager")["outcome"] == "interrupted"
    assert named(host, HOME_PROFILE) == before
    assert host.run("cat /home/deploy/.config/lab/version").stdout.split() == ["first"]
    assert named(host, "/nix/var/nix/profiles/system") == system


def test_both_units_are_killed(lab: Lab, tmp_path: Path, first: Host, flake: Path) -> None:
    """The next deployment undoes it first."""
    version(flake, "both")
    with Deploying(lab, first, plays(task(flake, limits=SHORT | {"settle": 20}))) as running:
        running.wait_for("settling")
        running.kill()
        kill_both_units(first)
    version(flake, "after")
    committed(deploy(lab, tmp_path, first, flake), first)
    runs(first, "after")
    at_rest(first)


def test_first_generation_is_taken_away(lab: Lab, tmp_path: Path, flake: Path) -> None:
    host = lab.hosts["host1"]
    lab.reset([host])
    become_debian(host)
    _MADE.append(host.name)
    version(flake, "bad", "error")
    failed = deploy(lab, tmp_path, host, flake).failure(host.name)
    assert failed["state"] == "rolled-back", failed
    assert host.run("ls -d /etc/lab /etc/systemd/system/lab-*").returncode
    assert host.run(["test", "-e", PROFILE]).returncode
    at_rest(host)


def test_several_profiles_in_their_order(lab: Lab, tmp_path: Path, debian: Host, flake: Path, command: Command) -> None:
    """A user's home and a profile for deploy-rs beside system-manager: by the playbook, and by the command."""
    version(flake, "all")
    every = [MANAGER, HOME, ITS_SITE]
    given: dict[str, Any] = {"deploy_flake_flake": str(flake), "deploy_flake_limits": SHORT}
    misspelt: dict[str, Any] = {"deploy_flake_profiles": [{"kind": "home-manager", "usr": "deploy"}]}
    refused = play(lab, tmp_path, PLAYBOOK, [debian.name], **given, **misspelt).failure(debian.name)
    assert "did you mean user" in refused["msg"], refused
    played = play(lab, tmp_path, PLAYBOOK, [debian.name], **given, deploy_flake_profiles=every)
    assert played.code == 0, played.output
    assert debian.run(VERSIONS).stdout.split() == ["all"] * 3
    links = f"stat -c %U {HOME_PROFILE} {HOME_PROFILE}-1-link {SITE}"
    assert debian.run(links).stdout.split() == ["deploy", "deploy", "root"]
    at_rest(debian)
    before = named(debian, HOME_PROFILE)

    # The second one fails: the first stays, the last is not begun.
    version(flake, "bad", "home")
    (tmp_path / "profiles.json").write_text(json.dumps({"deploy_flake_profiles": every}))
    # By its name in the flake.
    where = [destination(debian, debian.name), "--yes", *reaching([debian])]
    those = ["--flake", str(flake), "--time-limit", "confirm=20", "-e", f"@{tmp_path}/profiles.json"]
    code, lines = command.json("profiles", *where, *those)
    assert code == 4, lines
    for line in lines:
        jsonschema.validate(line, SCHEMA)
    result = results(lines)[debian.address]
    assert (result["outcome"], result["state"], result["reason"]) == ("rolled-back", "rolled-back", "activation")
    assert [one["state"] for one in result["profiles"]] == ["committed", "rolled-back", "not-begun"]
    stands = f"system-manager is live; home-manager of deploy was rolled back; profile {SITE} was not begun."
    assert stands in result["error"]
    assert named(debian, HOME_PROFILE) == before
    assert debian.run(VERSIONS).stdout.split() == ["bad", "all", "all"]
    at_rest(debian)

    version(flake, "mended")
    its = [
        "--profile",
        "home-manager,user=deploy",
        "--profile",
        f"profile,profile={SITE},attribute={ITS_SITE['attribute']}",
    ]
    code, output = command.run("profiles", *where, "--flake", str(flake), *its)
    assert code == 0, output
    assert f"deployed: home-manager of deploy committed; profile {SITE} committed" in output
    assert "profile /nix/var/nix/profiles/site: is to try /nix/store/" in output
    assert debian.run(VERSIONS).stdout.split() == ["bad", "mended", "mended"]
    code, output = command.run("profiles", *where, "--flake", str(flake), *its)
    assert code == 0 and f"unchanged: home-manager of deploy unchanged; profile {SITE} unchanged" in output, output
    code, output = command.run("status", *where)
    assert code == 1 and "is it a NixOS host?" in output, output

    version(flake, "old", "older")
    refused = deploy(lab, tmp_path, debian, flake, HOME).failure(debian.name)
    assert refused["reason"] == "not-a-system"
    assert "--driver-version" in refused["msg"]
