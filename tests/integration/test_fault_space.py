# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk or the boot partition is full."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.faulting import (
    SHORT,
    STORE_LOCK,
    SWITCH_LOCK,
    Deploying,
    build,
    deploying,
    deploys_again,
    directory,
    inside,
    is_whole,
    last_record,
    locked,
    next_system,
    nobody_confirms,
    state,
    units_stopped,
    wait_for,
)
from integration.playing import DEPLOY, remains, systems

from lab import Host, Lab


@pytest.fixture
def roomy(whole: dict[str, Host]) -> Iterator[dict[str, Host]]:
    """The hosts; in the end they have room again."""
    yield whole
    for host in whole.values():
        host.free_disk()
        host.free_boot()


def test_disk_full_while_copying(lab: Lab, roomy: dict[str, Host], flake: Path) -> None:
    """The error names free and needed space."""
    host = roomy["host1"]
    before = systems(host)
    (flake / "new-file").write_text("a flake that the host does not have", encoding="utf-8")
    host.fill_disk(300 << 10)
    with Deploying(lab, host, DEPLOY, deploy_flake_flake=str(flake)) as deployment:
        assert deployment.end() != 0
        assert re.search(r"has \d+ KiB free on /nix, and needs \d+ KiB for /nix/store/", deployment.output), (
            deployment.output
        )
    host.free_disk()
    assert systems(host) == before
    assert host.run("ls -d /nix/var/nix/deploy-flake.*").stdout == ""
    deploys_again(lab, host)


def test_disk_full_while_building(lab: Lab, roomy: dict[str, Host], flake: Path) -> None:
    """The build fails with Nix's word for it and the space there is."""
    host = roomy["host2"]
    before = systems(host)
    variables = {"deploy_flake_flake": str(flake), "deploy_flake_configuration": "host2-slow-build"}
    with Deploying(lab, host, DEPLOY, **variables) as deployment:
        wait_for(lambda: "step 2 of" in build_log(host))
        host.fill_disk()
        assert deployment.end() != 0
        assert "could not build 'host2-slow-build'; its system is untouched" in deployment.output, deployment.output
        assert re.search(r"There are \d+ MiB free on /nix", deployment.output), deployment.output
    host.free_disk()
    assert systems(host) == before
    deploys_again(lab, host)


def build_log(host: Host) -> str:
    """What the host's build has said so far."""
    logs = inside(host, "/run/deploy-flake").glob("build-*/log")
    return "".join(log.read_text(errors="replace") for log in logs)


@pytest.mark.parametrize(
    ("name", "left", "said"),
    [
        # An entry can be written, a kernel can't: found out when the link has moved. Forward is tried twice, then back.
        ("host3", 32 << 10, "the boot loader could not be written"),
        # Nor can the way back be written, and need not be.
        ("host1", 0, "is as it was"),
    ],
)
def test_boot_partition_full(lab: Lab, roomy: dict[str, Host], name: str, left: int, said: str) -> None:
    """It goes all the way back."""
    host = roomy[name]
    before = systems(host)
    with deploying(lab, host, build(host, "new-kernel"), limits=SHORT | {"settle": 3}) as deployment:
        deployment.wait_for("settling", "window")
        # Nothing is committed meanwhile.
        with locked(host, SWITCH_LOCK):
            host.fill_boot(left)
        assert deployment.end() != 0
        assert said in deployment.output, deployment.output
    is_whole(host, before.running, "rolled-back")
    host.free_boot()
    deploys_again(lab, host)


def test_boot_partition_full_beforehand(lab: Lab, roomy: dict[str, Host]) -> None:
    """Room that was asked for is looked at first."""
    host = roomy["host3"]
    host.fill_boot(1 << 20)
    with deploying(lab, host, next_system(host), min_free_space={"boot": 2}) as deployment:
        assert deployment.end() != 0
        assert re.search(r"has \d+ KiB free on /boot, and needs 2048 KiB", deployment.output), deployment.output


def test_disk_full_when_it_is_confirmed(lab: Lab, roomy: dict[str, Host]) -> None:
    """What has to be noted then can't be: it rolls back, and no half note is left."""
    host = roomy["host3"]
    before = systems(host).running
    with deploying(lab, host, next_system(host)) as deployment:
        deployment.wait_for("window", pause=0.001)
        with units_stopped(host):
            host.fill_disk()
        assert deployment.end() != 0
        assert "could not write /var/lib/deploy-flake/open.confirmed" in deployment.output, deployment.output
    host.free_disk()
    assert systems(host).running == systems(host).boot_default == before
    assert "open." not in remains(host), remains(host)
    deploys_again(lab, host)


def test_disk_full_while_the_profile_is_set(lab: Lab, roomy: dict[str, Host]) -> None:
    """nix-env may leave a stray generation; profile, boot loader and running system are one system all the same."""
    host = roomy["host1"]
    before, new = systems(host).running, next_system(host)
    with deploying(lab, host, new) as deployment:
        deployment.wait_for("window", "confirmed")
        with locked(host, STORE_LOCK):
            deployment.wait_for("commit-profile")
            host.fill_disk()
        deployment.end()
        host.free_disk()
    wait_for(lambda: state(host) in ("", "committed", "rolled-back"))
    now = systems(host)
    assert now.running == now.boot_default == now.loader
    assert now.running in (before, new)
    links = host.run("readlink -f /nix/var/nix/profiles/system-*-link").stdout.split()
    assert now.running == new or new not in links[-1:]
    deploys_again(lab, host)


def test_disk_full_during_the_rollback(lab: Lab, roomy: dict[str, Host]) -> None:
    """The record can't be written; the host goes back all the same."""
    host = roomy["host2"]
    before = systems(host).running
    with deploying(lab, host, next_system(host), confirm=False) as deployment:
        deployment.wait_for("window")
        where = directory(host)
        assert where is not None
        host.fill_disk()
        nobody_confirms(host)
        wait_for(lambda: state(host) in ("rolled-back", ""))
    now = systems(host)
    assert (now.running, now.boot_default, now.loader) == (before, before, before)
    assert host.run("systemctl is-system-running").stdout.strip() == "running"
    host.free_disk()
    deploys_again(lab, host)
    assert last_record(host)["outcome"] == "committed"
