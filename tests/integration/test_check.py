# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See before: --check and --diff say what would happen, and leave no trace on a host but in its store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from integration.faulting import SWITCH_LOCK, locked
from integration.playing import LIMITS, Played, change_the_flake, deploy, play, remains, systems

from lab import Host, Lab

CHECK, BOTH = "--check", "--check --diff"
Case = tuple[str, str, dict[str, Any]]
"""The fault, the module and more of its options."""
# The store aside, and what comes and goes by itself.
LOOK = """
readlink -f /run/current-system /run/booted-system /etc/static
find /nix/var/nix/profiles /nix/var/nix/gcroots -type l -printf '%p %l %T+\\n'
ls -l /run/nixos/*-list /var/lib/deploy-flake 2>/dev/null
cat /boot/loader/loader.conf /boot/loader/entries/*; ls -lR --time-style=full-iso /boot
systemctl list-units --state=active,failed --plain --no-legend --full --type=service,socket,timer,mount,target |
    awk '{ print $1, $3 }' | grep -v -e user -e session -e 'ssh.*@' -e '^run-' -e '^nix-daemon' | sort
systemctl show -p InvocationID --value hello.service counter.service mirror.service sshd.service
find /etc | sort
"""


def look(host: Host) -> list[str]:
    """All of a host that a check might have changed."""
    return host.run(LOOK).stdout.splitlines()


@contextmanager
def untouched(*hosts: Host) -> Iterator[None]:
    """Whatever is done inside leaves these hosts as they are."""
    before = [look(host) for host in hosts]
    yield
    for host, seen in zip(hosts, before, strict=True):
        assert sorted(set(look(host)) ^ set(seen)) == []
        assert remains(host) == ""


def check(
    lab: Lab, directory: Path, flake: Path, *cases: Case, options: str = CHECK, build: dict[str, Any] | None = None
) -> tuple[Played, list[dict[str, Any]]]:
    """Check some of host1's configurations in one play; the results of system_test or system_boot."""
    tasks: list[dict[str, Any]] = [
        {"deploy_flake.nixos.flake_copy": {"flake": str(flake)}, "register": "copied"},
    ]
    for fault, module, chosen in cases:
        configuration = f"host1-{fault}" if fault else "host1"
        reference = {"reference": "{{ copied.reference }}", "configuration": configuration}
        given = {"toplevel": "{{ built.toplevel }}", "limits": LIMITS} | chosen
        tasks += [
            {"deploy_flake.nixos.flake_build": reference | (build or {}), "register": "built"},
            {f"deploy_flake.nixos.{module}": given, "ignore_errors": True},
        ]
    play_of_them = {"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}
    played = play(lab, directory, [play_of_them], ["host1"], options)
    assert played.code == 0, played.output
    found = [result for result in played.results["host1"] if result["action"].endswith(("system_test", "system_boot"))]
    assert len(found) == len(cases), played.output
    return played, found


@pytest.mark.core
def test_what_is_foretold_is_what_happens(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    change_the_flake(flake, "2")
    with untouched(*fresh.values()):
        foretold = deploy(lab, tmp_path, flake, *fresh, options=BOTH)
    assert foretold.code == 0, foretold.output
    for name, host in fresh.items():
        tested = foretold.of(name, "system_test")
        assert (tested["state"], tested["changed"], tested["valid"]) == ("would-test", True, True)
        assert tested["would"] == {
            "stop": ["hello.service", "welcome.service"],
            "start": ["hello.service"],
            "restart": ["counter.service"],
            "reload": ["mirror.service"],
            "keep": [],
            "swapoff": [],
            "restart_systemd": False,
        }
        assert (tested["reboot_required"], tested["reboot_reasons"]) == (False, [])
        assert set(tested["free_space"]) == {"nix", "boot"}
        assert all(room["enough"] and room["free_bytes"] > 0 for room in tested["free_space"].values())
        changes = tested["changes"]
        assert (changes["from"], changes["to"]) == (systems(host).running, tested["toplevel"])
        assert {"name": "hello", "before": ["2.12.1"], "after": ["2.12.2"], "size_change_bytes": 0} in changes[
            "packages"
        ]
        assert changes["units"]["removed"] == ["welcome.service"]
        assert set(changes["units"]["changed"]) == {"counter.service", "hello.service", "mirror.service"}
        assert changes["kernel"] == {"before": "6.12.1", "after": "6.12.1"}
        assert changes["closure_bytes"]["before"] > 700_000
        # It is in the store, and a deploy has nothing left to copy or to build.
        host.run(f"nix-store --check-validity {tested['toplevel']}", check=True)
        assert f"{name}: would stop hello.service, welcome.service; start hello.service; restart" in foretold.output
        assert "no reboot is needed; there is enough free space" in foretold.output
    assert "-package hello 2.12.1" in foretold.output
    assert "+package hello 2.12.2" in foretold.output
    assert "-unit welcome.service" in foretold.output

    began = {name: host.run("systemctl show -p MainPID --value mirror.service").stdout for name, host in fresh.items()}
    done = deploy(lab, tmp_path, flake, *fresh, options="--diff")
    assert done.code == 0, done.output
    for name, host in fresh.items():
        tested = done.of(name, "system_test")
        assert tested["changes"] == foretold.of(name, "system_test")["changes"]
        assert systems(host).running == foretold.of(name, "flake_build")["toplevel"]
        assert host.run("systemctl is-active welcome.service").stdout.strip() == "inactive"
        assert host.run("systemctl show -p MainPID --value mirror.service").stdout == began[name]
        assert "diff" not in done.of(name, "system_boot")
    assert done.output.count("+package hello 2.12.2") == len(fresh)

    with untouched(*fresh.values()):
        again = deploy(lab, tmp_path, flake, *fresh, options=BOTH)
    for name in fresh:
        assert again.changed(name) == []
        assert again.of(name, "system_test")["state"] == "unchanged"
    assert "+package" not in again.output


@pytest.fixture
def host(whole: dict[str, Host]) -> Host:
    """host1, at rest."""
    return whole["host1"]


def test_reboots_and_room(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    free = int(host.run("df -P -k /boot | awk 'NR == 2 { print $4 }'").stdout)
    host.run(f"head -c {(free - 300) * 1024} /dev/zero >/boot/more", check=True)
    boot = {"on_reboot_required": "boot"}
    cases = [(fault, "system_test", chosen) for fault in ("exit-100", "inhibitor") for chosen in ({}, boot)]
    try:
        with untouched(host):
            played, found = check(
                lab,
                tmp_path,
                flake,
                ("new-kernel", "system_test", {"min_free_space": {"boot": 0}}),
                *cases,
                ("new-kernel-params", "system_test", {}),
                ("inhibitor", "system_boot", {}),
                ("inhibitor-and-check", "system_test", boot),
                ("new-units", "system_boot", {}),
                options=BOTH,
            )
    finally:
        host.run("rm /boot/more", check=True)
    kernel, *reboots, params, boots, behind, boot_only = found
    assert (kernel["state"], kernel["reboot_required"]) == ("would-test", True)
    assert kernel["reboot_reasons"] == ["initrd", "kernel", "kernel-modules"]
    assert kernel["changes"]["kernel"]["after"] == "6.12.2"
    room = kernel["free_space"]["boot"]
    assert not room["enough"]
    assert room["free_bytes"] < room["needed_bytes"]
    assert 700_000 < room["needed_bytes"] < 720_000
    assert "KiB, unless older generations are removed" in played.output

    said = {"exit-100": "status-100", "inhibitor": "inhibitor dbus-implementation"}
    for (fault, _module, chosen), result in zip(cases, reboots, strict=True):
        assert (result["reboot_required"], result["reboot_reasons"]) == (True, [said[fault]])
        if chosen:
            assert (result["state"], result["failed"]) == ("would-boot", False)
            assert not any(result["would"].values())
        else:
            assert (result["state"], result["failed"]) == ("would-refuse", True)
            assert "needs a reboot" in result["msg"]

    assert (params["state"], params["reboot_reasons"]) == ("would-test", ["kernel-params"])
    # Inhibitors are about a switch alone; and another check behind them is found now.
    assert (boots["state"], boots["failed"]) == ("would-boot", False)
    assert (behind["state"], behind["reason"]) == ("would-refuse", "pre-switch-checks")
    assert "pre-switch check 'zz-never' failed" in behind["msg"]

    assert (boot_only["state"], boot_only["reboot_reasons"]) == ("would-boot", ["boot-only"])
    assert boot_only["changes"]["from"] == systems(host).boot_default
    assert "onlynew.service" in boot_only["changes"]["units"]["added"]
    assert not any(boot_only["would"].values())


def test_what_would_be_refused_fails_now(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    host.run(
        "systemd-run --quiet --wait --unit=old-sore.service /bin/false; systemctl is-failed old-sore.service",
        check=True,
    )
    ignore: dict[str, Any] = {"ignore_units": ["old-*"]}
    says = {
        "new-units": "units have failed already: old-sore.service",
        "check-fails": "Pre-switch check 'never' failed",
        "exit-1": "switch-to-configuration dry-activate exited 1",
        "no-sshd": "starts no ssh unit",
    }
    reasons = ["units-failed-before", "pre-switch-checks", "unclear", "no-ssh"]
    cases: list[Case] = [(fault, "system_test", {} if fault == "new-units" else ignore) for fault in says]
    too_much: dict[str, Any] = {"min_free_space": {"nix": 1 << 30}}
    others: list[Case] = [("unsafe", "system_test", ignore), ("new-units", "system_test", ignore | too_much)]
    try:
        with untouched(host):
            _played, (*refused, unsafe, no_room) = check(lab, tmp_path, flake, *cases, *others)
    finally:
        host.run("systemctl reset-failed old-sore.service", check=True)
    for fault, result in zip(says, refused, strict=True):
        assert result["failed"], fault
        assert (result["state"], result["changed"]) == ("would-refuse", False)
        assert says[fault] in result["msg"]
    assert [result["reason"] for result in refused] == reasons
    assert refused[0]["failed_units"] == ["old-sore.service"]
    assert (no_room["state"], no_room["reason"]) == ("would-refuse", "no-space")
    assert not no_room["free_space"]["nix"]["enough"]
    # What nobody knows to be harmless is not run.
    assert (unsafe["state"], unsafe["failed"]) == ("would-test", False)
    assert unsafe["notes"] == ["pre-activate-safety-checks of the new system is not run in check mode"]


def test_package_that_is_new(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    with untouched(host):
        _played, (plain, tested) = check(
            lab,
            tmp_path,
            flake,
            ("", "system_test", {}),
            ("new-package", "system_test", {"reconnect_timeout": 60}),
            options=BOTH,
        )
    assert not any(one["name"] == "cowsay" for one in plain.get("changes", {}).get("packages", []))
    (cowsay,) = (one for one in tested["changes"]["packages"] if one["name"] == "cowsay")
    assert (cowsay["before"], cowsay["after"]) == ([], ["3.8.4"])
    assert 32_768 < cowsay["size_change_bytes"] < 40_000
    assert any(line.startswith("package cowsay 3.8.4, +") for line in tested["diff"][0]["after"].splitlines())


def test_evaluated_and_not_built(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    change_the_flake(flake, "evaluated")
    case: Case = ("", "system_test", {})
    evaluate = {"check_builds": False}
    with untouched(host):
        played, (tested,) = check(lab, tmp_path, flake, case, options=BOTH, build=evaluate)
    built = played.of("host1", "flake_build")
    assert (built["valid"], built["changed"], built["built"]) == (False, True, 0)
    assert built["toplevel"].endswith("-nixos-system-host1-25.11.evaluated")
    assert built["derivation"].endswith(".drv")
    assert host.run(f"nix-store --check-validity {built['toplevel']}").returncode != 0
    assert (tested["state"], tested["valid"], tested["would"]) == ("would-test", False, None)
    assert tested["previous_system"] == systems(host).running
    assert "was not built" in tested["notes"][0]
    assert tested["free_space"]["nix"]["enough"]
    assert "changes" not in tested

    # What it evaluates to is what it builds; without --diff the closures are not compared.
    full, (tested,) = check(lab, tmp_path, flake, case)
    assert full.of("host1", "flake_build")["toplevel"] == built["toplevel"] == tested["toplevel"]
    assert "changes" not in tested
    again, (tested,) = check(lab, tmp_path, flake, case, build=evaluate)
    assert (again.of("host1", "flake_build")["valid"], again.of("host1", "flake_build")["changed"]) == (True, False)
    assert "hello.service" in tested["would"]["stop"]


@pytest.mark.parametrize(
    ("configuration", "says"),
    [("host1-does-not-evaluate", "services.hello.colour"), ("no-such", "nixosConfigurations, among them")],
)
def test_what_cannot_be_evaluated(
    lab: Lab, host: Host, flake: Path, tmp_path: Path, configuration: str, says: str
) -> None:
    choice = {"deploy_flake_configuration": configuration, "deploy_flake_check_builds": False}
    with untouched(host):
        played = deploy(lab, tmp_path, flake, "host1", options=CHECK, **choice)
    built = played.of("host1", "flake_build")
    assert built["failed"]
    assert says in built["msg"]


def test_another_deployment_in_progress(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    with untouched(host), locked(host, SWITCH_LOCK):
        given = {"limits": LIMITS | {"check": 5}}
        _played, (held,) = check(lab, tmp_path, flake, ("new-units", "system_test", given))
    assert held["failed"]
    assert "another one holds its lock" in held["msg"]
    host.run("systemd-run --unit=deploy-flake.service sleep 600", check=True)
    try:
        _played, (busy,) = check(lab, tmp_path, flake, ("new-units", "system_test", {"lock_timeout": 1}))
    finally:
        host.run("systemctl stop deploy-flake.service", check=True)
    assert busy["reason"] == "busy"


def test_look_that_is_killed_is_no_success(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    wait = "until cat /run/deploy-flake-check-*/log 2>/dev/null | grep -q 'configuration check'; do sleep 0.1; done"
    with untouched(host), locked(host, SWITCH_LOCK):
        killer = f"{wait}; systemctl kill -s KILL 'deploy-flake-check-*.service'"
        host.run(
            ["systemd-run", "--quiet", "--collect", "--property=RuntimeMaxSec=600", "sh", "-c", killer], check=True
        )
        _played, (killed,) = check(lab, tmp_path, flake, ("new-units", "system_test", {}))
    assert (killed["failed"], killed["reason"], killed["would"]) == (True, "unclear", None)
    assert "was killed" in killed["msg"]
