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
from integration.playing import LIMITS, Played, change_the_flake, deploy, remains, systems

from lab import Host, Lab

CHECK, BOTH = "--check", "--check --diff"
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
    lab: Lab, directory: Path, flake: Path, fault: str = "", options: str = CHECK, **variables: Any
) -> tuple[Played, dict[str, Any]]:
    """Check one of host1's configurations."""
    variables.setdefault("deploy_flake_configuration", f"host1-{fault}" if fault else "host1")
    played = deploy(lab, directory, flake, "host1", options=options, **variables)
    module = "system_test" if variables.get("deploy_flake_test", True) else "system_boot"
    return played, played.of("host1", module)


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
        assert set(tested["space"]) == {"nix", "boot"}
        assert all(room["enough"] and room["free_bytes"] > 0 for room in tested["space"].values())
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


def test_kernel_and_room_for_it(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    free = int(host.run("df -P -k /boot | awk 'NR == 2 { print $4 }'").stdout)
    host.run(f"head -c {(free - 300) * 1024} /dev/zero >/boot/more", check=True)
    try:
        with untouched(host):
            played, tested = check(lab, tmp_path, flake, "new-kernel", BOTH)
    finally:
        host.run("rm /boot/more", check=True)
    assert played.code == 0, played.output
    assert (tested["state"], tested["reboot_required"]) == ("would-test", True)
    assert tested["reboot_reasons"] == ["initrd", "kernel", "kernel-modules"]
    assert tested["changes"]["kernel"]["after"] == "6.12.2"
    room = tested["space"]["boot"]
    assert not room["enough"]
    assert room["free_bytes"] < room["needed_bytes"]
    assert 700_000 < room["needed_bytes"] < 720_000
    assert "KiB are needed" in played.output


def test_package_that_comes_anew(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    assert deploy(lab, tmp_path, flake, "host1").code == 0
    with untouched(host):
        played, tested = check(lab, tmp_path, flake, "new-package", BOTH)
    assert played.code == 0, played.output
    (cowsay,) = (one for one in tested["changes"]["packages"] if one["name"] == "cowsay")
    assert (cowsay["before"], cowsay["after"]) == ([], ["3.8.4"])
    assert 32_768 < cowsay["size_change_bytes"] < 40_000
    assert "+package cowsay 3.8.4, +" in played.output
    assert tested["would"]["restart"] == tested["would"]["stop"] == []
    # Without --diff the closures are not compared.
    assert "changes" not in check(lab, tmp_path, flake, "new-package")[1]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("exit-100", "switch-to-configuration dry-activate exited 100"),
        ("inhibitor", "inhibitor dbus-implementation"),
    ],
)
def test_system_that_needs_a_reboot(lab: Lab, host: Host, flake: Path, tmp_path: Path, fault: str, reason: str) -> None:
    with untouched(host):
        refused, why = check(lab, tmp_path, flake, fault)
        allowed, tested = check(lab, tmp_path, flake, fault, deploy_flake_on_reboot_required="boot")
    assert refused.code != 0
    assert (why["state"], why["reboot_reasons"]) == ("would-refuse", [reason])
    assert "needs a reboot" in why["msg"]
    assert allowed.code == 0, allowed.output
    assert (tested["state"], tested["reboot_required"], tested["reboot_reasons"]) == ("would-boot", True, [reason])
    assert not any(tested["would"].values())


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("check-fails", "Pre-switch check 'never' failed"),
        ("exit-1", "switch-to-configuration dry-activate exited 1"),
        ("no-sshd", "starts no ssh unit"),
    ],
)
def test_what_would_be_refused_fails_now(
    lab: Lab, host: Host, flake: Path, tmp_path: Path, fault: str, says: str
) -> None:
    with untouched(host):
        played, tested = check(lab, tmp_path, flake, fault)
    assert played.code != 0
    assert says in tested["msg"]
    assert tested["changed"] is False


def test_pre_activate_script_is_not_run(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    with untouched(host):
        played, tested = check(lab, tmp_path, flake, "unsafe")
    assert played.code == 0, played.output
    assert tested["notes"] == ["pre-activate-safety-checks of the new system is not run in check mode"]


def test_boot_only(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    with untouched(host):
        played, booted = check(lab, tmp_path, flake, "new-units", BOTH, deploy_flake_test=False)
    assert played.code == 0, played.output
    assert (booted["state"], booted["reboot_required"], booted["reboot_reasons"]) == ("would-boot", True, ["boot-only"])
    assert booted["changes"]["from"] == systems(host).boot_default
    assert "onlynew.service" in booted["changes"]["units"]["added"]
    assert not any(booted["would"].values())


def test_evaluated_and_not_built(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    change_the_flake(flake, "evaluated")
    with untouched(host):
        played, tested = check(lab, tmp_path, flake, options=BOTH, deploy_flake_check_builds=False)
    assert played.code == 0, played.output
    built = played.of("host1", "flake_build")
    assert (built["valid"], built["changed"], built["built"]) == (False, True, 0)
    assert built["toplevel"].endswith("-nixos-system-host1-25.11.evaluated")
    assert built["derivation"].endswith(".drv")
    assert host.run(f"nix-store --check-validity {built['toplevel']}").returncode != 0
    assert (tested["state"], tested["valid"], tested["would"]) == ("would-test", False, None)
    assert tested["previous_system"] == systems(host).running
    assert "was not built" in tested["notes"][0]
    assert tested["space"]["nix"]["enough"]

    # What it evaluates to is what it builds.
    full, tested = check(lab, tmp_path, flake)
    assert full.of("host1", "flake_build")["toplevel"] == built["toplevel"] == tested["toplevel"]
    again, tested = check(lab, tmp_path, flake, deploy_flake_check_builds=False)
    assert again.of("host1", "flake_build")["valid"] is True
    assert again.of("host1", "flake_build")["changed"] is False
    assert "hello.service" in tested["would"]["restart"] + tested["would"]["stop"]


@pytest.mark.parametrize(
    ("configuration", "says"),
    [
        ("host1-does-not-evaluate", "services.hello.colour"),
        ("no-such", "these nixosConfigurations|nixosConfigurations, among"),
    ],
)
def test_what_cannot_be_evaluated(
    lab: Lab, host: Host, flake: Path, tmp_path: Path, configuration: str, says: str
) -> None:
    choice = {"deploy_flake_configuration": configuration, "deploy_flake_check_builds": False}
    with untouched(host):
        played = deploy(lab, tmp_path, flake, "host1", options=CHECK, **choice)
    built = played.of("host1", "flake_build")
    assert built["failed"]
    assert any(words in built["msg"] for words in says.split("|")), built["msg"]


def test_unit_that_had_failed_before(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    host.run(
        "systemd-run --unit=old-sore.service /bin/false; sleep 0.5; systemctl is-failed old-sore.service", check=True
    )
    try:
        with untouched(host):
            strict, why = check(lab, tmp_path, flake, "new-units")
            ignoring, tested = check(lab, tmp_path, flake, "new-units", deploy_flake_ignore_units=["old-*"])
    finally:
        host.run("systemctl reset-failed old-sore.service", check=True)
    assert strict.code != 0
    assert why["failed_units"] == ["old-sore.service"]
    assert "units have failed already: old-sore.service" in why["msg"]
    assert ignoring.code == 0, ignoring.output
    assert tested["would"]["start"] == []


def test_others_at_work(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    host.run("systemd-run --unit=deploy-flake.service sleep 60", check=True)
    try:
        _played, busy = check(lab, tmp_path, flake, "new-units", deploy_flake_lock_timeout=1)
    finally:
        host.run("systemctl stop deploy-flake.service", check=True)
    assert busy["reason"] == "busy"
    with untouched(host), locked(host, SWITCH_LOCK):
        _played, held = check(lab, tmp_path, flake, "new-units", deploy_flake_limits=LIMITS | {"check": 2})
    assert "another one holds its lock" in held["msg"]
