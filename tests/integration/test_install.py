# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first installation: onto an empty disk of a virtual machine, which boots from it then.

The installer is the machine's own first system. The flake has stand-ins for disko and nixos-install, of the same shape.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from integration.faulting import Deploying, wait_for
from integration.machines import SLOWLY, only
from integration.playing import PATIENT, copy_of_the_flake, play, systems

from lab import Lab, Machine
from lab.machine_image import DISK_SIZE

INSTALL = "deploy_flake.nixos.install"
NEW = "/dev/disk/by-id/virtio-new"


@pytest.fixture
def flake_with_disko(tmp_path: Path) -> Path:
    """The example flake, with disks."""
    flake = copy_of_the_flake(tmp_path)
    (flake / "flake.nix").rename(flake / "base.nix")
    shutil.copytree(Path(__file__).with_name("install_flake"), flake, dirs_exist_ok=True)
    return flake


@pytest.mark.parametrize("machine", ["grub"], indirect=True)
def test_install(with_machines: Lab, machine: Machine, flake_with_disko: Path, tmp_path: Path) -> None:
    """What may not be erased is refused, what fails says so, and then it is installed and deployed to."""
    machine.power_off()
    machine.add_disk("new", DISK_SIZE)
    machine.add_disk("spare", 16 << 20)
    machine.power_on()
    before = systems(machine)
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    variables: dict[str, Any] = {
        "deploy_flake_flake": str(flake_with_disko),
        "deploy_flake_limits": PATIENT,
        "deploy_flake_first_boot_timeout": 3 * SLOWLY,
        "deploy_flake_install_host_keys": [{"content": key.read_text("utf-8")}],
    }

    def install(*disks: str, options: str = "") -> Any:
        named = {"deploy_flake_install_disks": list(disks)}
        return play(with_machines, tmp_path, INSTALL, [machine.name], options, **variables, **named)

    # Which disks it is, the operator has to say.
    for disks, reason, said in (
        ((), "disk-not-named", NEW),
        ((NEW, "/dev/vda"), "runs-from-disk", "no installer"),
    ):
        refused = install(*disks).of(machine.name, "flake_install")
        assert (refused["failed"], refused["reason"]) == (True, reason), refused
        assert said in refused["msg"] and "nothing was erased" in refused["msg"], refused
    looked = install(NEW, options="--check")
    assert looked.code == 0, looked.output
    assert looked.of(machine.name, "flake_install")["state"] == "would-install"
    assert _partitions(machine) == ""

    # It fails where nothing is on the disk any more, and the next run begins anew.
    machine.run("touch /run/lab-disko-fails", check=True)
    failed = install(NEW).of(machine.name, "flake_install")
    assert failed["reason"] == "not-partitioned" and failed["erased"], failed
    assert "nothing boots from them yet" in failed["msg"] and "no such thing as a zpool here" in failed["msg"], failed
    assert systems(machine) == before
    machine.run("rm /run/lab-disko-fails", check=True)

    # Its controller is killed in the middle, and the next one follows what goes on.
    task = {"deploy_flake.nixos.flake_install": _settings(flake_with_disko, key), "become": True}
    plays = [{"hosts": "all", "gather_facts": False, "tasks": [task]}]
    with Deploying(with_machines, machine, plays) as first:
        wait_for(lambda: machine.run("cat /run/deploy-flake/install/step").stdout == "install\n", SLOWLY, 1)
        first.kill()
    boot = machine.boot_id
    done = install(NEW)
    assert done.code == 0, done.output
    assert "is being installed already, with the same; following that" in done.output, done.output
    assert machine.boot_id not in ("", boot)
    installed = done.of(machine.name, "flake_install")
    assert (installed["state"], installed["rebooted"]) == ("installed", True), installed
    public = key.with_suffix(".pub").read_text("utf-8").strip()
    assert installed["known_hosts"] == [f"{machine.address} {public}"], installed
    assert systems(machine) == only(installed["toplevel"])
    assert machine.read("/etc/ssh/ssh_host_ed25519_key.pub").strip() == public
    assert machine.run("stat -c %a /etc/ssh/ssh_host_ed25519_key").stdout == "600\n"
    # It was deployed to, by its new key, and had nothing to do.
    assert done.of(machine.name, "system_test")["state"] == "unchanged", done.output


def _settings(flake: Path, key: Path) -> dict[str, Any]:
    return {"flake": str(flake), "disks": [NEW], "host_keys": [{"content": key.read_text("utf-8")}]}


def _partitions(machine: Machine) -> str:
    return machine.run(f"ls /sys/class/block/$(basename $(readlink -f {NEW})) | grep '^vd' || :").stdout
