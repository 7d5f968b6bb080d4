# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot loaders that do not obey, that nobody can read, and whose default is another one as soon as they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from integration.committing import (
    Point,
    again_if_missed,
    at,
    boot_after,
    boot_before,
    commit_fails,
    generations,
    only_confirmed,
    profile_moved,
    profile_not_moved,
    verify,
)
from integration.faulting import (
    QUICK,
    SHORT,
    at_once,
    build,
    deploying,
    deploys_again,
    directory,
    is_whole,
    last_record,
    next_system,
    settled,
    wait_for,
)
from integration.playing import Played, outcomes, play, systems

from lab import Host, Lab, bootloader

PROFILE = "/nix/var/nix/profiles/system"
UNKNOWN = "the boot loader's default is unknown: "


def starts(host: Host) -> str:
    """What the host's boot loader starts, as the lab's own boots it: with all that it needs."""
    return bootloader.init_of(host.boot).removesuffix("/init")


def reboots_into(host: Host, system: str) -> None:
    """The power is switched off and on."""
    host.power_off()
    host.power_on()
    assert systems(host).booted == system


def switch_by_hand(host: Host, system: str) -> None:
    """As nixos-rebuild does."""
    host.run(f"nix-env -p {PROFILE} --set {system} && {system}/bin/switch-to-configuration switch", check=True)
    now = systems(host)
    assert (now.running, now.boot_default, starts(host)) == (system, system, system)


def deploy_it(lab: Lab, where: Path, host: Host, system: str, options: str = "", **more: Any) -> Played:
    """Deploy a system that is there, in one task."""
    name = "system_boot" if more.get("test") is False else "flake_deploy"
    settings = {"toplevel": system, "limits": SHORT, "reconnect_timeout": 60, **more}
    if name == "system_boot":
        settings.pop("test")
    task = {f"deploy_flake.nixos.{name}": settings, "become": True}
    where.mkdir(exist_ok=True)
    return play(lab, where, [{"hosts": "all", "gather_facts": False, "tasks": [task]}], [host.name], options)


def info(lab: Lab, where: Path, host: Host) -> dict[str, Any]:
    where.mkdir(exist_ok=True)
    task = {"deploy_flake.nixos.system_info": {}, "become": True}
    played = play(lab, where, [{"hosts": "all", "gather_facts": False, "tasks": [task]}], [host.name])
    assert played.code == 0, played.output
    return played.of(host.name, "system_info")


def unusual(found: Mapping[str, Any]) -> list[str]:
    return [one["state"] for one in found["explanations"]]


# Installers


def test_installers_that_do_not_do_what_they_say(lab: Lab, whole: dict[str, Host]) -> None:
    """One does nothing, one forgets a file, one ends half way: not committed, and the host boots what it ran."""
    faults = ["boot-does-nothing", "boot-lacks-initrd", "boot-fails-half-way"]

    def case(number: int, host: Host) -> None:
        before, links = systems(host).running, generations(host)
        with deploying(lab, host, build(host, faults[number]), limits=QUICK) as deployment:
            assert deployment.end() != 0, deployment.output
        is_whole(host, before, "rolled-back")
        record = last_record(host)
        assert record["why_code"] == "boot-loader", record
        assert (record["loader"], record["loader_default"]) == ("systemd-boot", before), record
        assert generations(host) == links
        assert starts(host) == before
        reboots_into(host, before)

    at_once({host: partial(case, number) for number, host in enumerate(whole.values())})


def test_installers_that_write_their_default_and_then_fail(lab: Lab, whole: dict[str, Host]) -> None:
    """Of hosts with GRUB and with extlinux: there is no trial, and it is put back."""

    def case(loader: str, host: Host) -> None:
        before = build(host, loader)
        switch_by_hand(host, before)
        with deploying(lab, host, build(host, f"{loader}-fails-after-write")) as deployment:
            assert deployment.end() != 0, deployment.output
        is_whole(host, before, "rolled-back")
        record = last_record(host)
        assert (record["why_code"], record["loader"]) == ("boot-loader", loader), record
        assert starts(host) == before
        reboots_into(host, before)
        host.reset()

    at_once({whole["host1"]: partial(case, "grub"), whole["host3"]: partial(case, "extlinux")})


def test_an_installer_that_does_nothing_on_a_host_with_another_loader(lab: Lab, whole: dict[str, Host]) -> None:
    def case(loader: str, host: Host) -> None:
        before = build(host, loader)
        switch_by_hand(host, before)
        with deploying(lab, host, build(host, "boot-does-nothing")) as deployment:
            assert deployment.end() != 0, deployment.output
        is_whole(host, before, "rolled-back")
        assert last_record(host)["why_code"] == "boot-loader", last_record(host)
        assert starts(host) == before
        host.reset()

    at_once({whole["host2"]: partial(case, "grub"), whole["host3"]: partial(case, "extlinux")})


# A boot partition that is not mounted


@contextmanager
def not_mounted(host: Host) -> Iterator[None]:
    """Its files are kept at another place meanwhile, since nothing else inside could mount them again."""
    host.run("mkdir -p /run/kept && mount --bind /boot /run/kept && umount /boot", check=True)
    try:
        yield
    finally:
        host.run("mount --bind /run/kept /boot && umount /run/kept", check=True)


def test_boot_that_should_be_mounted_and_is_not(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """Refused before anything is changed; allowed, it is said that nothing is proven, and the next one writes it."""

    def case(host: Host) -> None:
        where = tmp_path / host.name
        before, new, links = systems(host).running, next_system(host), generations(host)
        host.run("echo 'LABEL=BOOT /boot vfat noauto 0 0' >>/etc/fstab", check=True)
        with not_mounted(host):
            refused = deploy_it(lab, where, host, new)
            assert refused.failure(host.name)["reason"] == "boot-not-mounted", refused.output
            assert "/boot should be mounted, and is not" in refused.output
            checked = deploy_it(lab, where, host, new, "--check")
            assert checked.failure(host.name)["reason"] == "boot-not-mounted", checked.output
            assert (generations(host), systems(host).running) == (links, before)
            assert unusual(info(lab, where, host)) == ["loader-unknown"]
            allowed = deploy_it(lab, where, host, new, allow=["boot_not_mounted"])
            assert allowed.code == 0, allowed.output
            result = allowed.of(host.name, "system_boot")
            assert (result["state"], result["boot_loader"], result["boot_loader_default"]) == (
                "committed",
                "unknown",
                "",
            )
            said = f"{UNKNOWN}/boot should be mounted, and is not"
            assert said in result["notes"], result
            assert said in allowed.output
            assert (last_record(host)["loader"], last_record(host)["loader_default"]) == ("unknown", "")
            # Nothing better is known of it now.
            again = deploy_it(lab, where, host, new)
            assert again.of(host.name, "system_test")["state"] == "unchanged", again.output
            assert again.of(host.name, "system_test")["notes"] == [said]
        settled(host)
        assert starts(host) == before
        assert unusual(info(lab, where, host)) == ["loader-disagrees"]
        mended = deploy_it(lab, where, host, new)
        assert mended.code == 0, mended.output
        is_whole(host, new, "committed")
        assert starts(host) == new
        host.reset()

    def without_a_word_in_fstab(host: Host) -> None:
        """Only systemd-boot gives it away, whose files are on the root file system: the firmware reads none there."""
        where = tmp_path / host.name
        before, new = systems(host).running, next_system(host)
        with not_mounted(host):
            done = deploy_it(lab, where, host, new)
            assert done.code == 0, done.output
            result = done.of(host.name, "system_boot")
            assert (result["state"], result["boot_loader_default"]) == ("committed", ""), result
            assert [note for note in result["notes"] if note.startswith(UNKNOWN)], result
        settled(host)
        assert starts(host) == before
        mended = deploy_it(lab, where, host, new, test=False)
        assert mended.of(host.name, "system_boot")["state"] == "committed", mended.output
        is_whole(host, new, "committed")
        assert starts(host) == new
        host.reset()

    at_once({whole["host1"]: case, whole["host2"]: without_a_word_in_fstab})


# "Unchanged"


def test_after_a_commit_that_failed_what_runs_is_deployed_again(
    lab: Lab, whole: dict[str, Host], tmp_path: Path
) -> None:
    """The boot loader starts the failed system, and the profile names what runs: that is not "unchanged"."""
    host = whole["host1"]
    before, new = systems(host).running, next_system(host)
    output = commit_fails(lab, host, new)
    assert (last_record(host)["loader"], last_record(host)["loader_default"]) == ("systemd-boot", new)
    assert f"its boot loader starts {new}, and its system profile is {before}" in output, output
    assert starts(host) == new
    assert "loader-disagrees" in unusual(info(lab, tmp_path, host))
    host.run("mount -o remount,rw /boot", check=True)

    checked = deploy_it(lab, tmp_path, host, before, "--check")
    assert checked.of(host.name, "system_test")["state"] == "would-test", checked.output
    again = deploy_it(lab, tmp_path, host, before)
    assert again.of(host.name, "system_boot")["state"] == "committed", again.output
    is_whole(host, before, "committed")
    assert starts(host) == before
    reboots_into(host, before)
    deploys_again(lab, host)


def test_unchanged_asks_the_loader(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """Whatever has made the boot loader start another system, and with each of them."""

    def case(loader: str, host: Host) -> None:
        where = tmp_path / host.name
        other = next_system(host)
        new = build(host, loader) if loader else systems(host).running
        if loader:
            switch_by_hand(host, new)
        modes: list[dict[str, Any]] = [{}, {"test": False}]
        for mode in modes:
            module = "system_boot" if mode else "system_test"
            unchanged = deploy_it(lab, where, host, new, **mode)
            result = unchanged.of(host.name, module)
            assert (result["state"], result["boot_loader_default"], result["notes"]) == ("unchanged", new, []), result
            assert result["boot_loader"] == (loader or "systemd-boot")
            # Somebody writes the loader, and puts the profile back.
            installer = host.run(
                f"sed -n \"s/^export INSTALL_BOOTLOADER='\\(.*\\)'/\\1/p\" {new}/bin/switch-to-configuration"
            )
            number = max(generations(host)) + 1
            link = f"{PROFILE}-{number}-link"
            host.run(f"ln -s {other} {link} && {installer.stdout.strip()} {other} && rm {link}", check=True)
            assert starts(host) == other
            checked = deploy_it(lab, where, host, new, "--check", **mode)
            assert checked.of(host.name, module)["state"] == ("would-boot" if mode else "would-test"), checked.output
            assert starts(host) == other
            done = deploy_it(lab, where, host, new, **mode)
            assert done.of(host.name, "system_boot")["state"] == "committed", done.output
            is_whole(host, new, "committed")
            assert starts(host) == new
        if loader:
            host.reset()

    at_once(
        {host: partial(case, loader) for host, loader in zip(whole.values(), ("", "grub", "extlinux"), strict=True)}
    )


def test_a_default_that_nobody_can_tell(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """A pattern of several entries: committed and unchanged as far as the profile says, and that is said."""
    host = whole["host2"]
    new = build(host, "boot-pattern")
    done = deploy_it(lab, tmp_path, host, new)
    assert done.code == 0, done.output
    result = done.of(host.name, "system_boot")
    assert (result["state"], result["boot_loader"], result["boot_loader_default"]) == ("committed", "systemd-boot", "")
    (note,) = [note for note in result["notes"] if note.startswith(UNKNOWN)]
    assert "'nixos-*'" in note
    assert f"{host.name}: {UNKNOWN}" in done.output.replace("\n", " ")
    record = last_record(host)
    assert (record["outcome"], record["loader"], record["loader_default"]) == ("committed", "systemd-boot", ""), record
    again = deploy_it(lab, tmp_path, host, new)
    result = again.of(host.name, "system_test")
    assert (result["state"], result["boot_loader_default"], result["notes"]) == ("unchanged", "", [note]), result
    found = info(lab, tmp_path, host)
    assert (found["boot_loader"], found["boot_loader_default"], unusual(found)) == (
        "systemd-boot",
        "",
        ["loader-unknown"],
    )
    host.reset()


# Power loss, where the installer's argument is the default at once


POINTS: list[Point] = [only_confirmed, profile_not_moved, profile_moved, boot_before, boot_after, verify]


@pytest.mark.parametrize("loader", ["grub", "extlinux"])
@pytest.mark.parametrize("points", [POINTS[:3], POINTS[3:]], ids=["early", "late"])
def test_power_lost_between_the_steps_of_the_commit(
    lab: Lab, whole: dict[str, Host], loader: str, points: list[Point]
) -> None:
    """It runs and boots one of the two; after the next deployment profile and loader agree, and the record is true."""

    def case(number: int, host: Host) -> None:
        before = build(host, loader)
        switch_by_hand(host, before)
        new = build(host, loader, "2")
        with deploying(lab, host, new, limits=QUICK) as deployment:
            lost = wait_for(lambda: directory(host)).name
            with at(points[number], deployment, host, new):
                deployment.kill()
                host.power_off()
            host.power_on()
        now = systems(host)
        text = f"{points[number].__name__}: {now}"
        assert now.running == now.booted == starts(host), text
        assert now.running in (before, new), text
        # It never boots a system that its profile does not name yet.
        assert now.boot_default == new or (now.boot_default, now.running) == (before, before), text
        last = build(host, loader, "3")
        with deploying(lab, host, last) as again:
            assert again.end() == 0, again.output
        is_whole(host, last, "committed")
        assert starts(host) == last
        assert outcomes(host)[lost] in ("committed", "interrupted"), text
        ended = next(one for one in records(host) if one["id"] == lost)
        expected = new if ended["outcome"] == "committed" else before
        assert (ended["boot"], ended["loader"], ended["loader_default"]) == (expected, loader, expected), ended
        # It went where the host had gone already, as far as the loader had come.
        assert expected == now.running or now.boot_default == new, f"{text} {ended}"
        reboots_into(host, last)
        host.reset()

    at_once({host: partial(again_if_missed, partial(case, number)) for number, host in enumerate(whole.values())})


def records(host: Host) -> list[Mapping[str, Any]]:
    lines = (host.root / "var/lib/deploy-flake/deployments.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
