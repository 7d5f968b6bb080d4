# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On virtual machines: a real kernel, a real boot loader, and a disk that loses with the power what was not flushed.

`make test` runs those that are not `long`; `make vm-soak` runs all.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from integration.crash_images import look
from integration.faulting import Deploying, build, deploying, is_whole, last_record, next_system, soft_reboots, wait_for
from integration.machines import SLOWLY, Console, only, trying, wait_for_state
from integration.playing import PATIENT, Systems, change_the_flake, deploy, forget_builds, outcomes, remains, systems

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join
from lab import Lab, Machine
from lab.crashes import crashes
from lab.machine_image import BOOT_START, LOADERS, ROOT_START
from lab.shell import LabError

# Where the boot loader makes no difference.
GRUB = pytest.mark.parametrize("machine", ["grub"], indirect=True)


def short_with(loader: str) -> pytest.MarkDecorator:
    """For both, of which one is for `make test`: the two machines do their share beside one another."""
    return pytest.mark.parametrize(
        "machine",
        [each if each == loader else pytest.param(each, marks=pytest.mark.long) for each in LOADERS],
        indirect=True,
    )


SECRET = "/etc/secrets/key"


def secret(machine: Machine, new: str) -> list[dict[str, Any]]:
    """One for a deployment; another one is there, and on the disk."""
    script = f"mkdir -p {SECRET.rpartition('/')[0]} && printf old >{SECRET} && chmod 0400 {SECRET} && sync"
    machine.run(script, check=True)
    return [{"name": "key", "path": SECRET, "content": new}]


def secrets(machine: Machine) -> str:
    """What is in their directory, and what it says."""
    return machine.run(f"ls -A {SECRET.rpartition('/')[0]}; cat {SECRET}").stdout


@short_with("systemd-boot")
def test_deploy(with_machines: Lab, machine: Machine, flake: Path, tmp_path: Path) -> None:
    """The power is cut as soon as the controller knows that it is committed: it boots the new system."""
    change_the_flake(flake, "2")
    brings = secret(machine, "new")
    done = deploy(
        with_machines, tmp_path, flake, machine.name, deploy_flake_limits=PATIENT, deploy_flake_secrets=brings
    )
    machine.power_off()
    assert done.code == 0, done.output
    machine.power_on()
    assert secrets(machine) == "key\nnew"
    assert systems(machine) == only(done.of(machine.name, "flake_build")["toplevel"])
    assert outcomes(machine) == {done.of(machine.name, "system_boot")["deployment"]: "committed"}
    # That these had been removed is not worth a flush; the next deployment does it again.
    forget_builds([machine])
    machine.run("rm -f /boot/grub/grub.cfg.*.deploy-flake", check=True)
    assert remains(machine) == ""


@short_with("grub")
def test_trial(with_machines: Lab, machine: Machine) -> None:
    """A new kernel is booted once by the loader itself, and is kept."""
    new = build(machine, "new-kernel")
    with trying(with_machines, machine, new) as controller:
        assert controller.end(2 * SLOWLY) == 0, controller.output
    assert systems(machine) == only(new)


@GRUB
@pytest.mark.long
def test_power_lost_in_the_window(with_machines: Lab, machine: Machine) -> None:
    """It boots the previous system, and the next deployment says what became of this one."""
    before, new = systems(machine), next_system(machine)
    brings = secret(machine, "new")
    with deploying(with_machines, machine, new, confirm=False, limits=PATIENT, secrets=brings) as deployment:
        wait_for_state(machine, "window")
        assert secrets(machine).endswith("\nnew")
        deployment.kill()
        machine.power_off()
    machine.power_on()
    assert systems(machine) == before
    assert secrets(machine).endswith("\nold")
    with deploying(with_machines, machine, new, limits=PATIENT) as again:
        assert again.end(SLOWLY) == 0, again.output
        assert "was interrupted by a power loss or reboot" in again.output, again.output
    is_whole(machine, new, "committed", SLOWLY)
    assert list(outcomes(machine).values()) == ["interrupted", "committed"]
    assert secrets(machine) == "key\nold"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_moment_of_a_deployment(with_machines: Lab, machine: Machine) -> None:
    """Its disk as power cuts would leave it at 200 moments from the build on, with any of what was not flushed."""
    before = systems(machine).boot_default
    with machine.recorded() as recording:
        new = build(machine, "new-kernel")
        with deploying(with_machines, machine, new, limits=PATIENT) as deployment:
            wait_for_state(machine, "window")
            confirmed = time.monotonic()
            assert deployment.end(SLOWLY) == 0, deployment.output
        told = time.monotonic()
        time.sleep(6)
        machine.power_off()
        found: Counter[tuple[str, str]] = Counter()
        lost: list[str] = []
        names = {before: "previous", new: "new", "": "nothing"}
        fat_until = ROOT_START if machine.loader.name == "systemd-boot" else 0
        for crash in crashes(recording, recording, 200, random.Random(1), confirmed, fat_until):
            left = look(crash, machine, recording)
            text = f"{crash}\n{left}\nbefore: {before}\nnew: {new}"
            assert {left.boots, left.then_boots} <= set(names) and left.profile in (before, new), text
            committed = left.outcomes[-1:] == ("committed",)
            assert left.profile == before or left.confirmed or committed, text
            assert left.boots != new or left.profile == new, text
            assert left.boots == new or (crash.time < told and not committed), text
            assert left.boots or left.confirmed, text
            found[names[left.boots], names[left.profile]] += 1
            if not left.boots or not left.then_boots:
                lost.append(text)
    print(
        machine.loader.name, *(f"boots the {b}, profile the {p}: {n}" for (b, p), n in sorted(found.items())), sep="\n"
    )
    assert set(found) >= {("previous", "previous"), ("previous", "new"), ("new", "new")}, found
    assert not lost, "\n".join(lost)


def test_what_is_synced_is_where_the_boot_loader_reads_it(machine: Machine) -> None:
    """FAT's own sync leaves it in the cache of the disk, and ext4's in the journal, which GRUB does not read."""
    given = 'limited() { shift; "$@"; }; profile=/nix/var/nix/profiles/system; set -eu'
    script = f"{given}\n{join('lib/on_disk')}\nmkdir /boot/new\necho whole >/boot/new/probe\nsync_boot_side 20"
    machine.run(script, check=True)
    machine.power_off()
    if machine.loader.name == "grub":
        look = ["debugfs", "-c", "-n", "-R", "cat /new/probe", f"{machine.disk}?offset={BOOT_START}"]
    else:
        look = ["mtype", "-i", f"{machine.disk}@@{BOOT_START}", "::/new/probe"]
    assert subprocess.run(look, capture_output=True, text=True, check=False).stdout == "whole\n"


def _leads_back(controller: Deploying, machine: Machine, before: Systems, new: str, began: float) -> None:
    """To the boot default, and the controller says so."""
    machine.wait_running()
    print(f"{machine.loader.name}: runs the boot default, after {time.monotonic() - began:.0f} s")
    assert controller.end(2 * SLOWLY) != 0
    assert f"was told to boot {new} once, and has booted {before.booted}" in controller.output, controller.output
    assert systems(machine) == before


@pytest.mark.long
def test_trial_of_a_kernel_that_panics(with_machines: Lab, machine: Machine) -> None:
    """One power cycle leads back to the boot default, and so does the reboot that the kernel makes by itself."""
    before, new = systems(machine), build(machine, "panics")
    console = Console(machine)
    with trying(with_machines, machine, new) as controller:
        console.wait_for(b"Kernel panic - not syncing: ")
        began = time.monotonic()
        if machine.loader.name == "grub":
            machine.power_off()
            machine.power_on(wait=False)
        _leads_back(controller, machine, before, new, began)


@pytest.mark.long
def test_trial_of_an_initrd_that_hangs(with_machines: Lab, machine: Machine) -> None:
    before, new = systems(machine), build(machine, "initrd-hangs")
    console = Console(machine)
    with trying(with_machines, machine, new) as controller:
        console.wait_for(b"lab: hangs")
        began = time.monotonic()
        machine.power_off()
        machine.power_on(wait=False)
        _leads_back(controller, machine, before, new, began)


@GRUB
@pytest.mark.long
def test_trial_of_a_system_without_network(with_machines: Lab, machine: Machine) -> None:
    """It reboots by itself into the boot default."""
    before, new = systems(machine), build(machine, "boots-without-network")
    console = Console(machine)
    with trying(with_machines, machine, new, reboot=200) as controller:
        console.wait_for(f"lab: starting {new}/init".encode())
        began, console = time.monotonic(), Console(machine)
        console.wait_for(f"lab: starting {before.booted}/init".encode())
        _leads_back(controller, machine, before, new, began)


KEXEC = """
kexec --load /usr/lib/linux/bzImage --initrd=/usr/lib/linux/initrd --reuse-cmdline
systemctl kexec --no-block
"""


@GRUB
@pytest.mark.long
@pytest.mark.parametrize("reboot", ["systemctl reboot --no-block", KEXEC], ids=["reboot", "kexec"])
def test_reboot_in_the_window(with_machines: Lab, machine: Machine, reboot: str) -> None:
    """It comes up with the previous system, also where no boot loader runs, and nothing is left to repair."""
    before, new, boot = systems(machine), next_system(machine), machine.boot_id
    console = Console(machine)
    with deploying(with_machines, machine, new, confirm=False, limits=PATIENT) as deployment:
        wait_for_state(machine, "window")
        machine.run(f"set -e; {reboot}")
        deployment.kill()
    wait_for(lambda: machine.boot_id not in ("", boot), SLOWLY, 1)
    machine.wait_running()
    assert console.has(b"Booting `NixOS'") == (reboot != KEXEC)
    assert systems(machine) == before
    assert last_record(machine)["outcome"] in ("rolled-back", "interrupted")


@GRUB
@pytest.mark.long
def test_soft_reboot_in_the_window(with_machines: Lab, machine: Machine) -> None:
    """The kernel stays, and all else begins anew."""
    before, new, count = systems(machine), next_system(machine), soft_reboots(machine)
    with deploying(with_machines, machine, new, confirm=False, limits=PATIENT):
        wait_for_state(machine, "window")
        machine.run("systemctl soft-reboot --no-block")
        wait_for(lambda: _soft_reboots(machine) == count + 1, SLOWLY, 1)
        wait_for(lambda: last_record(machine).get("outcome"), SLOWLY, 1)
    assert last_record(machine)["outcome"] == "rolled-back", last_record(machine)
    assert systems(machine) == before


def _soft_reboots(machine: Machine) -> int:
    """-1 as well while the machine's agent is started anew."""
    try:
        return soft_reboots(machine)
    except LabError:
        return -1


@GRUB
@pytest.mark.long
def test_suspended_in_the_middle(with_machines: Lab, machine: Machine) -> None:
    """The controller waits for it, and goes on."""
    new = next_system(machine)
    with deploying(with_machines, machine, new, limits=PATIENT | {"settle": 10}) as deployment:
        wait_for_state(machine, "settling")
        with machine.stopped():
            time.sleep(30)
        assert deployment.end(SLOWLY) == 0, deployment.output
    is_whole(machine, new, "committed", SLOWLY)


@GRUB
@pytest.mark.long
def test_clock_is_set_in_the_window(with_machines: Lab, machine: Machine) -> None:
    """By an hour, forwards and back: the time to confirm runs out when it should, and not before."""
    before, new = systems(machine), next_system(machine)
    limits = PATIENT | {"confirm": 60}
    with deploying(with_machines, machine, new, confirm=False, limits=limits):
        wait_for_state(machine, "window")
        began = time.monotonic()
        machine.run("date --set '+1 hour'", check=True)
        time.sleep(15)
        assert machine.run("cat /run/deploy-flake/*/state").stdout.strip() == "window"
        machine.run("date --set '-2 hours'", check=True)
        wait_for(lambda: last_record(machine).get("outcome") == "rolled-back", SLOWLY, 1)
    assert 50 < time.monotonic() - began < 60 + SLOWLY / 2
    machine.run("date --set '+1 hour'", check=True)
    assert systems(machine) == before


@GRUB
@pytest.mark.long
@pytest.mark.parametrize("limit", ["MemoryMax=1M", "TasksMax=1"])
def test_limit_of_the_unit(with_machines: Lab, machine: Machine, limit: str) -> None:
    """The kernel ends what is over it, or starts nothing any more; the guard has limits of its own, and rolls back."""
    before, new = systems(machine), next_system(machine)
    with deploying(with_machines, machine, new, confirm=False, limits=PATIENT | {"confirm": 60}):
        wait_for_state(machine, "window")
        machine.run(f"systemctl set-property --runtime deploy-flake.service {limit}", check=True)
        wait_for(lambda: last_record(machine).get("outcome"), 2 * SLOWLY, 1)
    assert last_record(machine)["outcome"] == "rolled-back", last_record(machine)
    assert systems(machine) == before
