# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reboots, and systems that are booted once: the lab's boot loaders honour such a choice and forget it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from integration.faulting import (
    FEATURES,
    SWITCH_LOCK,
    Deploying,
    at_once,
    build,
    deploying,
    locked,
    next_system,
    settled,
    wait_for,
)
from integration.playing import FLAKE, Played, play, remains, systems

from lab import Host, Lab

MODULE = "deploy_flake.nixos.system_reboot"
TRIAL_FILE = "var/lib/deploy-flake/trial.json"
# A host of the lab is back after three seconds; several at once on a busy machine take longer.
BACK = 40


def task(check_mode: bool = False, **settings: Any) -> dict[str, Any]:
    """A task that may fail."""
    return {
        MODULE: {"limits": {"reboot": BACK}, "lock_timeout": 20, **settings},
        "become": True,
        "check_mode": check_mode,
        "ignore_errors": True,
        "register": "done",
    }


def reboot(lab: Lab, host: Host, **settings: Any) -> Played:
    """Run the module alone."""
    plays = [{"hosts": "all", "gather_facts": False, "tasks": [task(**settings)]}]
    return play(lab, Path(tempfile.mkdtemp(prefix="df-")), plays, limit=[host.name])


def result(played: Played, host: Host) -> dict[str, Any]:
    return played.of(host.name, "system_reboot")


def boot_id(host: Host) -> str:
    return host.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()


def generations(host: Host) -> list[str]:
    return sorted(path.name for path in (host.root / "nix/var/nix/profiles").glob("system-*-link"))


def chosen_once(host: Host) -> str:
    file = host.boot / "loader/lab-oneshot"
    return file.read_text() if file.exists() else ""


def runs_and_boots(host: Host, system: str) -> None:
    """This one system, everywhere; and nothing is left behind."""
    now = systems(host)
    assert (now.running, now.booted, now.boot_default, now.loader) == (system, system, system, system)
    assert chosen_once(host) == ""
    # What is synced takes its time on a busy disk.
    settled(host)


def is_as_before(host: Host, system: str, links: list[str]) -> None:
    """It boots what it booted before, the trial's generation and entry are gone, and why it failed is known."""
    now = systems(host)
    assert (now.running, now.booted, now.boot_default, now.loader) == (system, system, system, system)
    assert generations(host) == links
    assert chosen_once(host) == ""
    entries = {path.name for path in (host.boot / "loader/entries").glob("nixos-generation-?*.conf")}
    assert len([name for name in entries if "specialisation" not in name]) == len(links)
    assert json.loads((host.root / TRIAL_FILE).read_text())["state"] == "failed"


def forget(lab: Lab, host: Host) -> None:
    """The next deployment says what became of the trial, forgets it, and works."""
    new = next_system(host)
    with deploying(lab, host, new) as next_one:
        assert next_one.end() == 0, next_one.output
        assert "was to be booted once, and was not kept" in next_one.output, next_one.output
    assert not (host.root / TRIAL_FILE).exists()


@pytest.fixture
def whole(lab: Lab, whole: dict[str, Host]) -> dict[str, Host]:
    """And each runs what it has booted, whatever an earlier test has left running."""
    lab.reset([host for host in whole.values() if systems(host).booted != systems(host).running])
    return whole


def test_reboot(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """As root, with a sudo password, on another port; where it is needed, and into the system that was meant."""
    before = {name: systems(host) for name, host in whole.items()}
    first = {name: boot_id(host) for name, host in whole.items()}
    tasks = [
        {"deploy_flake.nixos.system_info": {}, "become": True, "register": "looked"},
        task(only_if_needed=True),
        task(check_mode=True),
        task(toplevel="{{ another }}"),
        {"ansible.builtin.raw": "cat /proc/sys/kernel/random/boot_id", "changed_when": False},
        task(toplevel="{{ looked.boot_default }}"),
    ]
    another = f"/nix/store/{'0' * 32}-another"
    played = play(lab, tmp_path, [{"hosts": "all", "gather_facts": False, "tasks": tasks}], another=another)
    for name, host in whole.items():
        _info, unneeded, asked, other, between, done = played.results[name]
        assert (unneeded["state"], unneeded["changed"]) == ("not-needed", False)
        assert (asked["state"], asked["changed"]) == ("would-reboot", True)
        assert other["reason"] == "not-default"
        assert between["stdout"].strip() == first[name]
        assert (done["state"], done["rebooted"]) == ("rebooted", True), played.output
        assert done["booted_system"] == before[name].boot_default
        assert boot_id(host) != first[name]
        runs_and_boots(host, before[name].boot_default)
    again = play(lab, tmp_path, "deploy_flake.nixos.reboot", limit=["host1"])
    assert (again.code, result(again, whole["host1"])["state"]) == (0, "not-needed"), again.output
    assert "host1: needs no reboot" in again.output


def test_what_a_reboot_waits_for(lab: Lab, whole: dict[str, Host]) -> None:
    """A deployment that is at work; and a host that comes back unwell or not at all."""
    host1, host2, host3 = whole.values()

    def busy(host: Host) -> None:
        first = boot_id(host)
        with deploying(lab, host, next_system(host), confirm=False) as deployment:
            deployment.wait_for("window")
            refused = result(reboot(lab, host, lock_timeout=1), host)
            assert refused["reason"] == "busy"
            assert "a deployment is in progress on it" in refused["msg"]
            assert boot_id(host) == first
            # As a revocation does.
            host.run("mv /run/deploy-flake/*-*/window $(echo /run/deploy-flake/*-*)/revoked", check=True)
        settled(host)
        not_told(host)

    def not_told(host: Host) -> None:
        """The connection is lost just before the host would have been told to reboot."""
        counted = Path(tempfile.mkdtemp(prefix="df-"))
        # The second command that is run on it.
        (counted / "ssh").write_text(
            f"#!/bin/sh\ncase $* in *' -O '*) exec ssh \"$@\" ;; esac\n"
            f'echo x >>{counted}/runs\n[ $(wc -l <{counted}/runs) != 2 ] || exit 255\nexec ssh "$@"\n'
        )
        (counted / "ssh").chmod(0o755)
        plays = [{"hosts": "all", "gather_facts": False, "tasks": [task()]}]
        played = play(lab, counted, plays, [host.name], ansible_ssh_executable=str(counted / "ssh"))
        assert result(played, host).get("state") == "rebooted", played.output

    def unwell(host: Host) -> None:
        system = systems(host).boot_default
        unit = "[Service]\nType=oneshot\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n"
        (host.root / "etc/systemd/system.control").mkdir(exist_ok=True)
        (host.root / "etc/systemd/system.control/sore.service").write_text(unit)
        host.run("systemctl daemon-reload; systemctl add-wants --runtime multi-user.target sore.service")
        (host.root / "etc/systemd/system.control/multi-user.target.wants").mkdir(exist_ok=True)
        link = host.root / "etc/systemd/system.control/multi-user.target.wants/sore.service"
        link.symlink_to("/etc/systemd/system.control/sore.service")
        failed = result(reboot(lab, host), host)
        assert failed["reason"] == "unhealthy"
        assert "units have failed: sore.service" in failed["msg"]
        assert systems(host).booted == system
        ignored = reboot(lab, host, ignore_units=["sore*"])
        assert result(ignored, host)["state"] == "rebooted", ignored.output
        assert result(ignored, host)["failed_units"] == ["sore.service"]
        host.reset()

    def lost(host: Host) -> None:
        system = systems(host).boot_default
        host.run("mv /boot/loader/entries /boot/loader/lost")
        failed = result(reboot(lab, host, limits={"reboot": 5}), host)
        assert failed["reason"] == "not-back"
        assert f"a power cycle boots {system}" in failed["msg"]
        host.reset()

    at_once({host1: busy, host2: unwell, host3: lost})


def test_trial_that_comes_up(lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    """It is the boot default then. A second run does nothing; one whose controller was lost is taken up by the next."""
    host1, host2, host3 = whole.values()

    def by_playbook(host: Host) -> None:
        old, links = systems(host).running, generations(host)
        played = play(
            lab,
            Path(tempfile.mkdtemp(prefix="df-")),
            "deploy_flake.nixos.trial",
            limit=[host.name],
            deploy_flake_flake=str(flake),
            deploy_flake_configuration=f"{host.name}-new-kernel",
            deploy_flake_limits={"reboot": BACK},
        )
        done = result(played, host)
        assert (played.code, done["state"], done["rebooted"]) == (0, "committed", True), played.output
        assert done["previous_system"] == old
        runs_and_boots(host, done["booted_system"])
        assert generations(host) == sorted([*links, f"system-{done['generation']}-link"])
        again = reboot(lab, host, toplevel=done["booted_system"], trial=True)
        assert (result(again, host)["state"], result(again, host)["changed"]) == ("unchanged", False)

    def taken_up(host: Host) -> None:
        old, new, leader = systems(host).running, build(host, "new-kernel", "up"), host.leader
        plays = [{"hosts": "all", "gather_facts": False, "tasks": [task(toplevel=new, trial=True)]}]
        with Deploying(lab, host, plays) as lost:
            wait_for(lambda: host.leader != leader)
            lost.kill()
        wait_for(lambda: host.leader not in (None, leader))
        host.wait_running()
        now = systems(host)
        assert (now.running, now.booted, now.boot_default, now.loader) == (new, new, old, old)
        other = reboot(lab, host, toplevel=build(host, "", "other"), trial=True, lock_timeout=1)
        assert result(other, host)["reason"] == "busy"
        assert "is being booted once" in result(other, host)["msg"]
        again = reboot(lab, host, toplevel=new, trial=True)
        assert result(again, host).get("state") == "committed", again.output
        assert "has been booted already" in again.output
        runs_and_boots(host, new)

    def with_grub(host: Host) -> None:
        old, new = build(host, "grub"), build(host, "grub", "2")
        with deploying(lab, host, old) as deployment:
            assert deployment.end() == 0, deployment.output
        assert not (host.boot / "loader/loader.conf").exists()
        done = reboot(lab, host, toplevel=new, trial=True)
        assert result(done, host).get("state") == "committed", done.output
        assert "next_entry=\n" in (host.boot / "grub/grubenv").read_text()
        runs_and_boots(host, new)
        # The power is lost: what the boot loader has by itself.
        dead = reboot(lab, host, toplevel=build(host, "grub-panics"), trial=True, limits={"reboot": 5})
        assert f"a power cycle boots {new}" in result(dead, host)["msg"], dead.output
        host.power_off()
        host.power_on()
        assert systems(host).booted == new
        host.reset()

    at_once({host1: by_playbook, host2: taken_up, host3: with_grub})


def test_trial_that_does_not_come_up_well(lab: Lab, whole: dict[str, Host]) -> None:
    """The boot default is what it was: after a power cycle, by itself, or because the task has it go back."""
    host1, host2, host3 = whole.values()

    def panics(host: Host) -> None:
        old, links = systems(host).running, generations(host)
        new = build(host, "panics")
        failed = result(reboot(lab, host, toplevel=new, trial=True, limits={"reboot": 6}), host)
        assert (failed["state"], failed["reason"]) == ("unknown", "not-back")
        assert f"a power cycle boots {old}" in failed["msg"]
        host.power_off()
        host.power_on()
        now = systems(host)
        assert (now.running, now.booted, now.boot_default, now.loader) == (old, old, old, old)
        again = reboot(lab, host, toplevel=build(host, "new-kernel", "again"), trial=True)
        assert f"{new} was to be booted once, did not stay up or did not come up" in again.output, again.output
        assert result(again, host).get("state") == "committed"
        assert len(generations(host)) == len(links) + 1
        # It comes up, and one of its services never does.
        kept, links = systems(host).running, generations(host)
        loops = result(reboot(lab, host, toplevel=build(host, "loops"), trial=True), host)
        assert (loops["state"], loops["reason"]) == ("reverted", "unhealthy"), loops
        assert "services end and are started again and again: loop.service" in loops["msg"]
        is_as_before(host, kept, links)
        forget(lab, host)

    def unwell(host: Host) -> None:
        old, links = systems(host).running, generations(host)
        new = build(host, "exit-4")
        left = result(reboot(lab, host, toplevel=new, trial=True, revert=False), host)
        assert (left["state"], left["reason"]) == ("unconfirmed", "unhealthy"), left
        assert (systems(host).booted, systems(host).boot_default, systems(host).loader) == (new, old, old)
        assert result(reboot(lab, host), host)["booted_system"] == old
        failed = result(reboot(lab, host, toplevel=new, trial=True), host)
        assert (failed["state"], failed["reason"]) == ("reverted", "unhealthy"), failed
        assert "units have failed: broken.service" in failed["msg"]
        is_as_before(host, old, links)
        asked = play(lab, Path(tempfile.mkdtemp(prefix="df-")), "deploy_flake.nixos.status", limit=[host.name])
        assert "units have failed: broken.service" in asked.of(host.name, "system_info")["trial"]["outcome"]
        forget(lab, host)

    def unreachable(host: Host) -> None:
        old, links = systems(host).running, generations(host)
        began = time.monotonic()
        failed = result(
            reboot(lab, host, toplevel=build(host, "boots-without-network"), trial=True, limits={"reboot": 6}), host
        )
        assert (failed["state"], failed["reason"]) == ("reverted", "other-system"), failed
        # Nobody has touched it: the unit of the new system did that.
        assert "nobody made it the boot default within 26 s, so it rebooted by itself" in failed["msg"]
        assert time.monotonic() - began >= 26
        is_as_before(host, old, links)

    at_once({host1: panics, host2: unwell, host3: unreachable})


def test_trial_that_is_refused_or_cut_short(lab: Lab, whole: dict[str, Host]) -> None:
    """Nothing has changed then, and the profile never names the new system."""
    host1, host2, host3 = whole.values()

    def unchanged(host: Host, **expected: dict[str, Any]) -> None:
        """Each reason with the settings that lead to it."""
        before, links, first = systems(host), generations(host), boot_id(host)
        tasks = [task(trial=True, **settings) for settings in expected.values()]
        played = play(
            lab,
            Path(tempfile.mkdtemp(prefix="df-")),
            [{"hosts": "all", "gather_facts": False, "tasks": tasks}],
            limit=[host.name],
        )
        said = [each.get("reason") or each.get("state") for each in played.results[host.name]]
        assert said == [name.replace("_", "-") for name in expected], played.output
        assert (systems(host), generations(host), boot_id(host)) == (before, links, first)
        assert not (host.root / TRIAL_FILE).exists()
        assert "trial-" not in remains(host), remains(host)

    def wrong_systems(host: Host) -> None:
        wrong, unsafe = build(host, "wrong-hostname"), build(host, "unsafe")
        unchanged(
            host,
            bad_option={},
            other_hostname={"toplevel": wrong},
            unsafe={"toplevel": unsafe},
            would_try={"toplevel": build(host, "new-kernel"), "check_mode": True},
        )

    def wrong_loader(host: Host) -> None:
        system, new = build(host, "no-one-shot"), build(host, "new-kernel")
        with deploying(lab, host, system) as deployment:
            assert deployment.end() == 0, deployment.output
        unchanged(host, no_one_shot={"toplevel": new})
        unchanged(host, no_one_shot={"toplevel": new, "check_mode": True})

    def wrong_boot_partition(host: Host) -> None:
        new = build(host, "new-kernel")
        (host.boot / "loader/lab-oneshot").write_text("memtest.conf\n")
        unchanged(host, no_one_shot={"toplevel": new})
        (host.boot / "loader/lab-oneshot").unlink()
        host.fill_boot()
        unchanged(host, no_entry={"toplevel": new})
        host.free_boot()
        host.run("mount -o remount,bind,ro /boot", check=True)
        unchanged(host, boot_read_only={"toplevel": new})
        host.run("mount -o remount,bind,rw /boot", check=True)

    def power_lost(host: Host) -> None:
        old, links, new = systems(host).running, generations(host), build(host, "new-kernel", "power")
        plays = [{"hosts": "all", "gather_facts": False, "tasks": [task(toplevel=new, trial=True)]}]
        with Deploying(lab, host, plays) as lost:
            with locked(host, SWITCH_LOCK):
                wait_for((host.root / TRIAL_FILE).exists)
                assert result(reboot(lab, host, lock_timeout=1), host)["reason"] == "busy"
                # Its generation is there, and its boot entry cannot be written yet.
                wait_for(lambda: len(generations(host)) > len(links))
                host.power_off()
            lost.kill()
        host.power_on()
        now = systems(host)
        assert (now.running, now.booted, now.boot_default, now.loader) == (old, old, old, old)
        again = reboot(lab, host, toplevel=new, trial=True)
        assert result(again, host).get("state") == "committed", again.output
        assert len(generations(host)) == len(links) + 1
        runs_and_boots(host, new)

    def wrong_host(host: Host) -> None:
        wrong_systems(host)
        wrong_loader(host)

    at_once({host1: wrong_host, host2: power_lost, host3: wrong_boot_partition})


def test_boot_default_moves_while_a_trial_waits(lab: Lab, whole: dict[str, Host]) -> None:
    """Whoever held the lock has moved it: what they chose stays."""
    host = whole["host3"]
    old, new, other = systems(host).running, build(host, "new-kernel"), build(host, version="other")
    plays = [{"hosts": "all", "gather_facts": False, "tasks": [task(toplevel=new, trial=True)]}]
    links = generations(host)
    try:
        with Deploying(lab, host, plays) as trial:
            with locked(host, SWITCH_LOCK):
                wait_for(lambda: len(generations(host)) > len(links))
                host.run(f"nix-env -p /nix/var/nix/profiles/system --set {other}", check=True)
                # Not free before it has looked again: it may have looked, and not have called yet.
                wait_for(lambda: not (host.root / TRIAL_FILE).exists())
            assert trial.end() == 0
            assert "reason: superseded" in trial.output or '"reason": "superseded"' in trial.output, trial.output
            assert f"it boots {other}, and no more {old}" in trial.output
        now = systems(host)
        assert (now.running, now.booted, now.boot_default, now.loader) == (old, old, other, other)
        assert not (host.root / TRIAL_FILE).exists()
        assert chosen_once(host) == ""
    finally:
        lab.reset([host])


@pytest.mark.parametrize(
    ("name", "given", "file"),
    [
        ("trial", "enable = true; panicTimeout = 60;", "units/deploy-flake-trial.service"),
        ("secrets", "enable = true;", "deploy-flake-secrets.service"),
    ],
)
def test_module_for_nixos(hosts: dict[str, Host], name: str, given: str, file: str) -> None:
    """The unit of the lab's systems is what the NixOS module makes of its option."""
    host = hosts["host1"]
    place = host.root / "var/lib/deploy-flake-module"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(FLAKE.parents[1] / "nix", place)
    lib = "{ mkIf = wanted: c: if wanted then c else {}; mkOption = x: x; mkEnableOption = x: x; types.int = 1; }"
    given = f'config.deploy-flake.{name} = {{ {given} }}; pkgs.runtimeShell = "/bin/sh";'
    command = f"nix {FEATURES} eval --json --file /var/lib/deploy-flake-module/{name}.nix"
    made = json.loads(host.run(f"{command} --apply 'm: (m {{ lib = {lib}; {given} }}).config'", check=True).stdout)
    assert made.get("boot", {}).get("kernelParams") == (["panic=60"] if name == "trial" else None)
    unit = made["systemd"]["services"][f"deploy-flake-{name}"]
    ours = (FLAKE / file).read_text()
    assert unit["wantedBy"] == ["sysinit.target"]
    for order in ("After", "Before"):
        assert (
            f"\n{order}={' '.join(unit[order.lower()])}\n" in ours
            if order.lower() in unit
            else f"\n{order}=" not in ours
        )
    for section in ("unitConfig", "serviceConfig"):
        for key, value in unit[section].items():
            said = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
            text = " ".join(map(str, said)) if isinstance(said, list) else str(said)
            if key != "ExecStart":
                assert f"\n{key}={text}\n" in ours, key
    assert unit["serviceConfig"]["ExecStart"].startswith("/bin/sh /nix/store/")
    assert unit["serviceConfig"]["ExecStart"].endswith(f"{name}.sh")
