# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first installation: onto an empty disk of a virtual machine, which boots from it then.

The installer is the machine's own first system, with a stand-in for nixos-install; the flake has one for disko. Both
are of the same shape.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from integration.faulting import Deploying, wait_for
from integration.machines import SLOWLY, only
from integration.playing import PATIENT, copy_of_the_flake, play, systems

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import command
from lab import Lab, Machine
from lab.machine_image import DISK_SIZE

INSTALL = "deploy_flake.nixos.install"
STAND_INS = Path(__file__).with_name("install_flake")
NEW = "/dev/disk/by-id/virtio-new"


@pytest.fixture
def flake_with_disko(tmp_path: Path) -> Path:
    """The example flake, with disks."""
    flake = copy_of_the_flake(tmp_path)
    (flake / "flake.nix").rename(flake / "base.nix")
    shutil.copytree(STAND_INS, flake, dirs_exist_ok=True)
    return flake


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", ["grub"], indirect=True)
def test_install(with_machines: Lab, machine: Machine, flake_with_disko: Path, tmp_path: Path) -> None:
    """What may not be erased is refused, what fails says so, and then it is installed and deployed to."""
    machine.add_disk("new", DISK_SIZE)
    machine.add_disk("spare", 16 << 20)
    _decides(machine)
    before = systems(machine)
    # As an installer has it.
    program = (STAND_INS / "nixos-install.sh").read_text("utf-8")
    machine.run("cat >/usr/local/bin/nixos-install && chmod +x /usr/local/bin/nixos-install", stdin=program, check=True)
    machine.run("losetup /dev/loop0 /dev/disk/by-id/virtio-spare", check=True)
    _fails(machine, flake_with_disko)
    assert systems(machine) == before
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    variables: dict[str, Any] = {
        "deploy_flake_flake": str(flake_with_disko),
        "deploy_flake_limits": PATIENT,
        "deploy_flake_first_boot_timeout": 3 * SLOWLY,
        "deploy_flake_install_host_keys": [{"content": key.read_text("utf-8")}],
        "deploy_flake_install_allow": ["installed_system"],
        "deploy_flake_install_disks": [NEW],
    }

    # What has failed is begun anew. Its controller is killed in the middle, and the next one follows what goes on.
    task = {"deploy_flake.nixos.flake_install": _settings(flake_with_disko, key), "become": True}
    plays = [{"hosts": "all", "gather_facts": False, "tasks": [task]}]
    step = "cat /run/deploy-flake/install/step"
    with Deploying(with_machines, machine, plays) as first:
        wait_for(lambda: machine.run(step).stdout == "install\n" or first.process.poll() is not None, 2 * SLOWLY, 1)
        assert first.process.poll() is None, first.output
        first.kill()
    boot = machine.boot_id
    done = play(with_machines, tmp_path, INSTALL, [machine.name], **variables)
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
    assert machine.read("/var/lib/deploy-flake/installed").splitlines()[1:] == [public]
    # It was deployed to, by its new key, and had nothing to do.
    assert done.of(machine.name, "system_test")["state"] == "unchanged", done.output


def _decides(machine: Machine) -> None:
    """The host's own look at real disks, without a playbook: what is refused, and with which word it is not."""

    def look(*disks: str, device: str = NEW, allow: str = "installed_system") -> tuple[str, str]:
        inputs = {"disks": "\n".join(disks), "devices": device, "toplevel": "/nix/store/x", "root": "/mnt"}
        answer = _asked(machine, "install_look", {**inputs, "allow": allow})
        return answer.get("refused"), answer.get("message")

    assert look("/dev/disk/by-id/virtio-spare")[0] == "disk-not-named"
    assert look(NEW, allow="")[0] == "installed-system"
    reason, said = look(NEW, "/dev/vda")
    assert reason == "disk-in-use" and "mount /" in said, said
    assert look(NEW) == ("", "")
    # Held open by a program that no list of the kernel's names.
    keeps_it = f"exec 3<>{NEW}-part1; echo $$ >/run/lab-user; exec sleep 900"
    in_use = f"umount /srv && {{ setsid sh -c '{keeps_it}' >/dev/null 2>&1 & }}"
    for prepare, word, reason, said in (
        ("mke2fs -q -F DISK", "", "has-data", "ext2"),
        ("mke2fs -q -F -b 1024 -O journal_dev DISK", "data_on_disks", "disk-of-several", "jbd"),
        ("mkswap DISK && swapon DISK", "data_on_disks", "disk-in-use", "swap"),
        ("swapoff DISK && wipefs -qa DISK && echo start=2048 | sfdisk -q DISK", "", "has-data", "partitions dos"),
        ("mke2fs -q -F DISK-part1 && mount DISK-part1 /mnt", "data_on_disks", "disk-in-use", "mounted at /mnt"),
        ("umount /mnt && mount DISK-part1 /srv", "data_on_disks", "disk-in-use", "mount /srv"),
        (in_use, "data_on_disks", "disk-in-use", "BLKRRPART"),
        ("kill $(cat /run/lab-user)", "data_on_disks", "", ""),
    ):
        machine.run(f"set -e\n{prepare.replace('DISK', NEW)}\nudevadm settle", check=True)
        found = look(NEW, allow=f"installed_system {word}")
        assert found[0] == reason and said in found[1], (prepare, found)
    machine.run(f"wipefs -qa {NEW}-part1 {NEW}", check=True)


def _fails(machine: Machine, flake: Path) -> None:
    """The host's own part, with a disko script that fails at its end, when all is made and mounted."""
    script = f"{(flake / 'disko.sh').read_text('utf-8')}exit 7\n"
    machine.run("cat >/run/lab-disko && chmod +x /run/lab-disko", stdin=script, check=True)
    disks = {"disks": NEW, "devices": NEW, "allow": "installed_system"}
    what = {"job": "other", "toplevel": "/nix/store/x", "root": "/mnt"}
    values = {**what, "script": "/run/lab-disko", "installer": "/bin/false", "keys": "0", "limit": str(SLOWLY)}
    polls = {"id": "it", "boot_id": machine.boot_id, "host_keys": "", "offset": "0", "patience": "5"}
    inputs: dict[str, Any] = {**disks, **what, **polls, "runtime_limit": str(SLOWLY), "values": values}
    answer = _asked(machine, "install", {**inputs, "begun": "no"})
    ends = time.monotonic() + 2 * SLOWLY
    while not answer.get("result"):
        assert not answer.get("refused") and time.monotonic() < ends, answer
        answer = _asked(machine, "install", {**inputs, "begun": "yes"})
    assert (answer.get("result"), answer.get("erased")) == ("disko-failed 7", "yes"), answer
    # Its boot's own attempt is no use of anybody's, and other disks can be written to again.
    assert machine.run("mountpoint /mnt && blockdev --getro /dev/loop0").stdout.endswith("\n0\n")


def _asked(machine: Machine, name: str, inputs: dict[str, Any]) -> Answer:
    return Answer.parse(machine.run(["/bin/sh", "-s"], stdin=command(name, inputs), check=True).stdout)


def _settings(flake: Path, key: Path) -> dict[str, Any]:
    host_keys = [{"content": key.read_text("utf-8")}]
    return {"flake": str(flake), "disks": [NEW], "host_keys": host_keys, "allow": ["installed_system"]}
