# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides about erasing, with the scripts themselves: the kernel's directories are made up, and so are its tools.

Real disks are in `integration/test_install.py`.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import assignments, command, program

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
SYSTEM, JOB, BOOT = "/nix/store/new", "job1", "boot1"
INSTALLER = """\
22 1 0:22 / / rw - tmpfs tmpfs rw
23 22 0:23 / /nix/.rw-store rw - tmpfs tmpfs rw
24 22 0:24 / /nix/store rw - overlay overlay rw,lowerdir=/x,upperdir=ROOT/upper,workdir=/y
"""
# Each does to files below $ROOT what the real one does to devices, and says which questions it was asked.
TOOLS = {
    "blkid": """name=${4##*/}
        cat "$ROOT/content/$name" 2>/dev/null || exit 2
        exit "$(cat "$ROOT/content/$name.status")\"""",
    "blockdev": """name=${2##*/}
        [ -e "$ROOT/dev/$name" ] || { echo "cannot open $2"; exit 1; }
        case $1 in
        --rereadpt) [ ! -e "$ROOT/busy/$name" ] || { echo "BLKRRPART: Device or resource busy"; exit 1; } ;;
        --getro) [ -e "$ROOT/readonly/$name" ] && echo 1 || echo 0 ;;
        --setro) [ ! -e "$ROOT/stubborn" ] && echo >"$ROOT/readonly/$name" ;;
        --setrw) rm "$ROOT/readonly/$name" ;;
        esac""",
    "systemctl": """case "$*" in
        *ActiveState*) cat "$ROOT/unit" ;;
        *reboot*) echo reboots >>"$ROOT/started"; [ ! -e "$ROOT/stays" ] ;;
        esac""",
    "systemd-run": 'echo begun >>"$ROOT/started"',
    "ssh-keygen": 'echo "ssh-ed25519 AAAA"',
    **dict.fromkeys(("udevadm", "flock", "sync"), ":"),
    "swapoff": 'sed -i "\\\\|^$1 |d" "$ROOT/proc/swaps"; echo "swapoff ${1#"$ROOT"}" >>"$ROOT/started"',
    # As the kernel, which lets nobody unmount what has a swap file.
    "umount": 'grep -q "^$2/" "$ROOT/proc/swaps" || sed -i "\\\\| $2 |d" "$ROOT/proc/self/mountinfo"',
    "sleep": ":",
    "zpool": 'printf "tank\\t9G\\n\\t%s\\t9G\\n" $(cat "$ROOT/pool")',
}


class Machine:
    """A machine with the disks sda (two partitions), sdb and sdc, and what it has mounted."""

    def __init__(self, shell: list[str], root: Path) -> None:
        self.shell, self.root = shell, root
        for name in ("content", "busy", "readonly", "tools", "mnt", "upper", "run/systemd/system", "sys/fs", "dev"):
            (root / name).mkdir(parents=True)
        for name in ("sys/class/block", "sys/block", "sys/dev/block", "proc/self", "proc/sys/kernel/random"):
            (root / name).mkdir(parents=True)
        for number, name in enumerate(("sda", "sdb", "sdc")):
            self.device(name, f"8:{16 * number}")
            (root / f"sys/block/{name}").symlink_to(root / f"sys/devices/{name}")
            (root / f"sys/devices/{name}/device").mkdir()
            self.put(f"sys/devices/{name}/diskseq", str(number))
        for number in (1, 2):
            self.device(f"sda{number}", f"8:{number}", below="sda/")
            self.put(f"sys/devices/sda/sda{number}/partition", str(number))
        self.put("proc/sys/kernel/random/boot_id", BOOT)
        self.put("proc/swaps", "Filename Type\n")
        self.put("unit", "inactive")
        self.put("proc/self/mountinfo", INSTALLER.replace("ROOT", str(root)))
        (root / "run/deploy-flake").mkdir(mode=0o700)
        for name, text in TOOLS.items():
            self.put(f"tools/{name}", f"#!/bin/sh\nROOT={root}\n{text}\n").chmod(0o755)

    def put(self, name: str, text: str) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if text.endswith("\n") else f"{text}\n", "utf-8")
        return file

    def device(self, name: str, number: str, below: str = "") -> None:
        at = self.root / f"sys/devices/{below}{name}"
        for inner in ("holders", "slaves"):
            (at / inner).mkdir(parents=True)
        self.put(f"sys/devices/{below}{name}/dev", number)
        self.put(f"sys/devices/{below}{name}/size", "2048")
        (self.root / f"sys/class/block/{name}").symlink_to(at)
        (self.root / f"sys/dev/block/{number}").symlink_to(at)
        self.put(f"dev/{name}", "")

    def made_of(self, name: str, number: str, *below: str) -> None:
        """A device mapper's, or a RAID, of others."""
        self.device(name, number)
        for one in below:
            (self.root / f"sys/class/block/{one}/holders/{name}").symlink_to(self.root / f"sys/devices/{name}")
            (self.root / f"sys/devices/{name}/slaves/{one}").symlink_to(self.root / f"sys/class/block/{one}")

    def mounted(self, number: str, at: str, kind: str = "ext4", source: str = "/dev/x") -> None:
        line = f"30 22 {number} / {at} rw - {kind} {source} rw\n"
        with (self.root / "proc/self/mountinfo").open("a") as file:
            file.write(line.replace("/mnt", f"{self.root}/mnt").replace("/dev/", f"{self.root}/dev/"))

    def has(self, name: str, *tokens: str, status: int = 0) -> None:
        """What blkid says of it."""
        self.put(f"content/{name}", "\n".join(tokens))
        self.put(f"content/{name}.status", str(status))

    def of(self, text: str) -> str:
        text = re.sub(r"(?<![\w}])/(?=(?:sys|dev|proc|run|mnt)\b)", f"{self.root}/", text)
        for real in ("/dev/null", "/proc/uptime", "/proc/self/status"):
            text = text.replace(f"{self.root}{real}", real)
        text = text.replace("[ -b ", "[ -e ")
        head, main, tail = text.rpartition("\nmain")
        return f"{head}\nPATH={self.root}/tools:{os.environ['PATH']}\n{main}{tail}"

    def look(self, *disks: str, devices: str = "/dev/sdb", allow: str = "") -> str:
        """Its refusal, as code and message; or the answer's names."""
        inputs = {"disks": "\n".join(disks), "devices": devices, "toplevel": SYSTEM, "root": "/mnt", "allow": allow}
        return self._run(command("install_look", inputs))

    def install(self, *disks: str, **chosen: str) -> str:
        return self._run(command("install", self.inputs(*disks, **chosen)))

    def inputs(
        self,
        *disks: str,
        allow: str = "",
        begun: str = "no",
        job: str = JOB,
        boot: str = BOOT,
        host_keys: str = "",
    ) -> dict[str, Any]:
        values = {"job": job, "script": "x", "installer": "x", "toplevel": SYSTEM, "root": "/mnt", "keys": "0"}
        inputs = {
            "disks": "\n".join(disks or ("/dev/sdb",)),
            "devices": "/dev/sdb",
            "toplevel": SYSTEM,
            "root": "/mnt",
            "allow": allow,
            "job": job,
            "id": "id1",
            "begun": begun,
            "boot_id": boot,
            "host_keys": host_keys,
            "runtime_limit": "9",
            "offset": "0",
            "patience": "0",
        }
        return {**inputs, "values": {**values, "limit": "9"}}

    def reboot(self, job: str = JOB) -> str:
        inputs = {"boot_id": BOOT, "root": "/mnt", "job": job, "toplevel": SYSTEM}
        return self._run(command("install_reboot", inputs))

    def unmount(self) -> None:
        """The new root, with what is on it."""
        file = self.root / "proc/self/mountinfo"
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(line for line in lines if f" {self.root}/mnt " not in line))
        (self.root / "mnt").rename(self.root / "unmounted")
        (self.root / "mnt").mkdir()

    def answer(self, text: str) -> Answer:
        done = subprocess.run(
            [*self.shell, "-s"], input=self.of(text), text=True, capture_output=True, timeout=60, check=False
        )
        return Answer.parse(done.stdout)

    def _run(self, text: str) -> str:
        answer = self.answer(text)
        if answer.get("refused"):
            return f"{answer.get('refused')}: {answer.get('message')}"
        return " ".join(name for name, _value in answer.fields) + f" result={answer.get('result')}"

    def started(self) -> str:
        file = self.root / "started"
        return file.read_text() if file.exists() else ""

    def erased(self, name: str = "sdb", number: int = 1) -> None:
        """An installation since the boot has begun to erase it, and has mounted it."""
        self.put("run/deploy-flake/install-erased", f"{name} {number}")
        self.mounted("8:16", "/mnt")

    def done(self, job: str = JOB, system: str = SYSTEM) -> None:
        self.put("mnt/var/lib/deploy-flake/installed", f"{job} {system}\nssh-ed25519 AAAA")

    def finish(self) -> None:
        """What the unit does last."""
        self.erased()
        self.put("mnt/etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA")
        self.put("run/deploy-flake/install/job", JOB)
        done = self.unit("put_mark && end_with ok", directory="run/deploy-flake/install")
        assert done.returncode == 0, done

    def unit(self, functions: str, erasable: str = " sdb", directory: str = "run") -> subprocess.CompletedProcess[str]:
        """Functions of the program that erases."""
        text = self.of(program("install").replace('main "$@"', "main () { :; }\nmain"))
        values = {"dir": f"{self.root}/{directory}", "root": f"{self.root}/mnt", "erasable": erasable, "keys": "0"}
        values |= {"job": JOB, "toplevel": SYSTEM, "limit": "9"}
        text = f"{text.rpartition(chr(10) + 'exit')[0]}\n{assignments(values)}\n"
        return subprocess.run(
            [*self.shell, "-s"], input=text + functions, text=True, capture_output=True, timeout=60, check=False
        )


@pytest.fixture(params=list(SHELLS.values()), ids=list(SHELLS))
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    return Machine(request.param, tmp_path)


@pytest.fixture
def one(tmp_path: Path) -> Machine:
    """In one shell, where it is no question of the shell."""
    return Machine(["dash"], tmp_path)


def test_blank_disk_that_is_named_may_go(machine: Machine) -> None:
    assert "erases" in machine.look("/dev/sdb")
    assert machine.look("/dev/sda").startswith("disk-not-named: ")
    assert machine.look().startswith("disk-not-named: ")
    assert machine.look("/dev/sdb", "/dev/sdx").startswith("no-disk: ")
    assert machine.look("/dev/sda1").startswith("no-disk: ")
    machine.made_of("md0", "9:0", "sdc")
    assert machine.look("/dev/md0").startswith("no-disk: ")


@pytest.mark.parametrize(
    ("tokens", "word", "refused"),
    [
        (("TYPE=ext4", "USAGE=filesystem"), "", "has-data: "),
        (("TYPE=ext4", "USAGE=filesystem"), "data_on_disks", ""),
        (("PTTYPE=gpt",), "", "has-data: "),
        (("PTTYPE=gpt",), "data_on_disks", ""),
        # A partition with nothing in it.
        (("DEVNAME=/dev/sdb", "PART_ENTRY_NUMBER=1"), "", ""),
        # Whoever destroys by name what these belong to takes the other disks along.
        (("TYPE=LVM2_member",), "data_on_disks", "disk-of-several: "),
        (("TYPE=zfs_member", "LABEL=tank"), "data_on_disks", "disk-of-several: "),
        (("TYPE=linux_raid_member",), "data_on_disks", "disk-of-several: "),
        (("TYPE=btrfs",), "data_on_disks", "disk-of-several: "),
        (("TYPE=bcachefs",), "data_on_disks", "disk-of-several: "),
        (("TYPE=jbd",), "data_on_disks", "disk-of-several: "),
        (("VERSION=1",), "data_on_disks", "disk-of-several: "),
    ],
)
def test_what_is_on_a_disk(one: Machine, tokens: tuple[str, ...], word: str, refused: str) -> None:
    one.has("sdb", *tokens)
    said = one.look("/dev/sdb", allow=word)
    assert said.startswith(refused) if refused else "erases" in said, said


def test_what_blkid_cannot_say_is_not_nothing(machine: Machine) -> None:
    """It ends with 2 for a device that it cannot open, as for one that is blank."""
    machine.has("sdb", "error: /dev/sdb: Input/output error", status=2)
    assert machine.look("/dev/sdb", allow="data_on_disks").startswith("disk-of-several: ")
    machine.has("sdb", "ambivalent result", status=8)
    assert machine.look("/dev/sdb", allow="data_on_disks").startswith("disk-of-several: ")
    machine.has("sda2", "TYPE=zfs_member")
    assert "sda2" in machine.look("/dev/sda", devices="/dev/sda", allow="data_on_disks")


def test_disk_that_is_used(machine: Machine) -> None:
    machine.put("busy/sdb", "")
    assert machine.look("/dev/sdb").startswith("disk-in-use: uses the disk sdb, or a part of it: BLKRRPART")
    machine.mounted("8:2", "/srv")
    assert "mount /srv" in machine.look("/dev/sda", devices="/dev/sda")
    machine.made_of("dm-0", "253:0", "sdc")
    assert "part-of dm-0" in machine.look("/dev/sdc", devices="/dev/sdc")
    machine.put("sys/fs/btrfs/id/devices/sda1/x", "")
    assert "mount btrfs (sda1)" in machine.look("/dev/sda", devices="/dev/sda")
    machine.put("proc/spl/kstat/zfs/tank/state", "ONLINE")
    assert "a ZFS pool: tank" in machine.look("/dev/sdb")


def test_who_cannot_be_asked_uses_it(one: Machine) -> None:
    one.put("tools/awk", "#!/bin/sh\nexit 1\n").chmod(0o755)
    assert one.look("/dev/sdb", allow="installed_system").startswith("no-answer: ")


@pytest.mark.parametrize("line", ["22 1 8:1 / / rw - ext4 /dev/sda1 rw", "24 22 8:1 / /nix rw - ext4 /dev/sda1 rw"])
def test_installed_system_is_no_installer(one: Machine, line: str) -> None:
    """Not even one whose root is a tmpfs."""
    root = "22 1 0:22 / / rw - tmpfs tmpfs rw\n" if " /nix " in line else ""
    one.put("proc/self/mountinfo", f"{root}{line}\n")
    assert one.look("/dev/sdb").startswith("installed-system: ")
    assert "erases" in one.look("/dev/sdb", allow="installed_system")
    assert one.look("/dev/sda", devices="/dev/sda", allow="installed_system data_on_disks").startswith("disk-in-use: ")


def test_place_of_somebody_else(one: Machine) -> None:
    one.mounted("8:32", "/mnt")
    assert one.look("/dev/sdb").startswith("disk-in-use: has something mounted at ")
    (one.root / "mnt").rename(one.root / "media")
    (one.root / "mnt").symlink_to(one.root / "media")
    assert one.look("/dev/sdb").startswith("no-directory: ")


def test_attempt_of_this_boot_begins_anew_and_what_is_done_does_not(machine: Machine) -> None:
    machine.erased()
    machine.has("sdb", "TYPE=btrfs")
    assert "erases" in machine.look("/dev/sdb")
    # It is unmounted, and nothing else is asked of what is on it.
    assert "log" in machine.install() and machine.started() == "begun\n"
    assert f" {machine.root}/mnt " not in (machine.root / "proc/self/mountinfo").read_text()
    # Another disk of that name is no acquaintance.
    machine.put("sys/devices/sdb/diskseq", "7")
    assert machine.look("/dev/sdb").startswith("disk-of-several: ")


def test_what_is_done_is_known_by_its_own_mark(machine: Machine) -> None:
    """Where /run was full there is nothing else that tells of it."""
    machine.erased()
    machine.done()
    assert machine.install().endswith("result=ok") and not machine.started()
    assert machine.install(job="job2").startswith("has-data: has been installed already")
    machine.done(system="/nix/store/other")
    assert machine.look("/dev/sdb").startswith("has-data: has been installed already")
    assert "erases" in machine.look("/dev/sdb", allow="data_on_disks")
    assert not machine.started()
    assert "step" in machine.install(job="job2", allow="data_on_disks") and machine.started() == "begun\n"


def test_reboot_that_fails_leaves_it_done(machine: Machine) -> None:
    """It was unmounted for that, and is not erased by the next run."""
    machine.finish()
    machine.put("stays", "")
    said = machine.reboot()
    assert said.startswith("no-reboot: ") and machine.started() == "reboots\n"
    assert f" {machine.root}/mnt " not in (machine.root / "proc/self/mountinfo").read_text()
    assert machine.install().endswith("result=ok") and machine.started() == "reboots\n"
    assert machine.install(job="job2").startswith("has-data: ")


def test_what_is_done_is_not_erased_again_once_it_is_unmounted(machine: Machine) -> None:
    """Nobody has rebooted it, and somebody has unmounted it."""
    machine.finish()
    machine.has("sdb", "PTTYPE=gpt")
    machine.unmount()
    assert "erases" in machine.look("/dev/sdb")
    said = machine.install()
    assert said.startswith("attached ") and said.endswith("host_key result=ok"), said
    assert machine.install(job="job2").startswith("has-data: has been installed already")
    assert not machine.started()
    assert "step" in machine.install(job="job2", allow="data_on_disks") and machine.started() == "begun\n"


def test_word_for_one_beginning_gives_away_nothing_else(machine: Machine) -> None:
    """What was begun with it ends before it erases anything; the next one has to be told again."""
    machine.finish()
    machine.has("sdb", "PTTYPE=gpt")
    machine.unmount()
    assert "step" in machine.install(job="job2", allow="data_on_disks") and machine.started() == "begun\n"
    (machine.root / "run/deploy-flake/install/ids").unlink()
    assert machine.install(job="job2").startswith("has-data: has something on the disk sdb")
    assert machine.started() == "begun\n"


@pytest.mark.parametrize("result", ["killed", "stopped", "no-space"])
def test_what_comes_after_the_mark_has_no_say(machine: Machine, result: str) -> None:
    machine.finish()
    machine.put("run/deploy-flake/install/result", result)
    assert machine.install().endswith("host_key result=ok")


def test_what_leaves_no_mark_below_run_is_not_done(one: Machine) -> None:
    """It would be erased again without the word, once it is unmounted."""
    one.put("run/deploy-flake/installed.new/in-the-way", "")
    assert one.unit("put_mark || echo not").stdout == "not\n"
    assert not (one.root / "mnt/var/lib/deploy-flake/installed").exists()


def test_mark_of_an_earlier_installation_says_nothing_of_a_failure(one: Machine) -> None:
    """A script may keep the file system, and end before its mark is taken away."""
    one.finish()
    (one.root / "run/deploy-flake/installed").unlink()
    one.put("run/deploy-flake/install/result", "disko-failed 1")
    one.put("run/deploy-flake/install/ids", "id1")
    assert one.install().endswith("result=disko-failed 1")


def test_reboots_only_what_is_done_and_nothing_else_is_at_work(machine: Machine) -> None:
    """Another controller may have begun anew meanwhile, with the word."""
    machine.finish()
    assert machine.reboot(job="job2").startswith("busy: ")
    machine.put("unit", "active")
    assert machine.reboot().startswith("busy: ")
    assert f" {machine.root}/mnt " in (machine.root / "proc/self/mountinfo").read_text()
    machine.put("unit", "inactive")
    # One at a time.
    machine.put("tools/flock", "#!/bin/sh\nexit 1\n").chmod(0o755)
    assert machine.reboot().startswith("no-lock: ")
    machine.put("tools/flock", "#!/bin/sh\n").chmod(0o755)
    assert not machine.started()
    assert machine.reboot().startswith("boot_id ") and machine.started() == "reboots\n"


def test_kernel_that_does_not_number_disks_knows_none_again(one: Machine) -> None:
    (one.root / "sys/devices/sdb/diskseq").unlink()
    one.put("run/deploy-flake/install-erased", "sdb ")
    one.has("sdb", "TYPE=ext4")
    assert one.look("/dev/sdb").startswith("has-data: ")
    assert one.install().startswith("has-data: ") and not one.started()
    # What is done is known by its mark.
    one.finish()
    assert "erases" in one.look("/dev/sdb") and one.install().endswith("result=ok") and not one.started()


def test_disk_that_is_named_only_is_left_alone(one: Machine) -> None:
    """It has to be free, and is neither erased nor, later on, what an attempt has left."""
    assert "log" in one.install("/dev/sdb", "/dev/sdc")
    assert "erasable=' sdb'" in (one.root / "run/deploy-flake/install/values").read_text()
    one.has("sdc", "TYPE=ext4")
    assert one.look("/dev/sdb", "/dev/sdc").startswith("has-data: has something on the disk sdc")


def test_poll_begins_nothing_twice(machine: Machine) -> None:
    assert machine.install(begun="yes").startswith("killed: ")
    assert machine.install(boot="boot0").startswith("rebooted: ")
    assert not machine.started()
    machine.install()
    machine.install()
    assert machine.started() == "begun\n"


@pytest.mark.parametrize("state", ["active", "deactivating", ""])
def test_who_does_not_say_that_it_is_over_is_in_progress(one: Machine, state: str) -> None:
    one.put("unit", state)
    one.put("run/deploy-flake/install/job", "other")
    assert one.install().startswith("busy: ")
    one.put("run/deploy-flake/install/job", JOB)
    assert one.install().startswith("attached ")
    assert not one.started() and (one.root / "run/deploy-flake/install/job").exists()


def test_no_program_writes_to_other_disks(machine: Machine) -> None:
    """Nor to what is made of them, held or not; but for what is mounted or swap, with all that it lies on."""
    machine.made_of("dm-0", "253:0", "sda1", "sdc")
    machine.made_of("md1", "9:1", "sda2")
    machine.mounted("9:1", "/srv")
    done = machine.unit("protect_others && ls $root/../readonly\nallow_others\nls $root/../readonly")
    assert done.stdout.split() == ["dm-0", "sda1", "sdc"], done
    # NVMe has hidden ones beside a disk, for its paths; nobody can open them.
    machine.device("nvme0c0n1", "0:0")
    (machine.root / "dev/nvme0c0n1").unlink()
    assert machine.unit("protect_others || echo not").stdout == "not\n"
    machine.put("sys/devices/nvme0c0n1/hidden", "1")
    assert machine.unit("protect_others; echo $?").stdout == "0\n"
    machine.put("stubborn", "")
    (machine.root / "readonly/sdc").unlink()
    assert machine.unit("protect_others || echo not").stdout == "not\n"


@pytest.mark.parametrize(
    ("number", "kind", "source", "fits"),
    [
        ("8:16", "ext4", "/dev/sdb", True),
        ("8:2", "ext4", "/dev/sda2", False),
        ("253:0", "xfs", "/dev/mapper/x", False),
        ("253:1", "xfs", "/dev/mapper/y", True),
        ("0:40", "tmpfs", "tmpfs", False),
        ("0:41", "btrfs", "/dev/sdb", False),
        ("0:42", "bcachefs", "/dev/sdb:/dev/sdc", False),
        ("0:43", "bcachefs", "/dev/sdb", True),
        ("0:44", "zfs", "tank/root", True),
    ],
)
def test_new_root_is_on_named_disks_alone(one: Machine, number: str, kind: str, source: str, fits: bool) -> None:
    one.made_of("dm-0", "253:0", "sdb", "sdc")
    one.made_of("dm-1", "253:1", "sdb")
    for member in ("sdb", "sda1"):
        one.put(f"sys/fs/btrfs/id/devices/{member}/x", "")
    one.put("pool", f"{one.root}/dev/sdb")
    one.mounted(number, "/mnt", kind, source)
    for check in ("is_on_disks", "are_on_disks"):
        assert one.unit(f'{check} "$root" "$erasable" && echo yes').stdout == ("yes\n" if fits else "")
        assert one.unit(f'{check} /nowhere "$erasable" && echo yes').stdout == ""


@pytest.mark.parametrize(
    ("number", "kind", "source", "fits"),
    [
        ("8:17", "vfat", "/dev/sdb1", True),
        ("8:2", "ext4", "/dev/sda2", False),
        ("253:0", "xfs", "/dev/mapper/x", False),
        ("0:41", "btrfs", "/dev/sdb", False),
        ("0:44", "zfs", "tank/home", False),
        ("0:40", "tmpfs", "tmpfs", True),
        ("0:24", "overlay", "overlay", True),
    ],
)
def test_what_is_mounted_below_the_new_root_is_on_those_disks_too(
    machine: Machine, number: str, kind: str, source: str, fits: bool
) -> None:
    """A label may be that of an old disk of the same layout, which is mounted read-only then."""
    machine.device("sdb1", "8:17", below="sdb/")
    machine.put("sys/devices/sdb/sdb1/partition", "1")
    machine.made_of("dm-0", "253:0", "sdb", "sdc")
    for member in ("sdb", "sda1"):
        machine.put(f"sys/fs/btrfs/id/devices/{member}/x", "")
    machine.put("pool", "nothing")
    machine.mounted("8:16", "/mnt")
    machine.mounted(number, "/mnt/var/a\\040b", kind, source)
    # Beside it, and no matter.
    machine.mounted("8:2", "/mnt2")
    assert machine.unit('are_on_disks "$root" "$erasable" && echo yes').stdout == ("yes\n" if fits else "")


def test_nothing_is_installed_where_a_part_would_be_on_another_disk(one: Machine) -> None:
    one.put("tools/installer", f'#!/bin/sh\necho installs >>"{one.root}/started"\nexit 1\n').chmod(0o755)
    one.mounted("8:16", "/mnt")
    one.mounted("8:2", "/mnt/home")
    one.unit("script=true installer=installer; install")
    assert (one.root / "run/result").read_text() == "not-mounted\n" and not one.started()
    for name in ("begun", "result"):
        path = one.root / "run" / name
        path.rmdir() if path.is_dir() else path.unlink()
    (one.root / "proc/self/mountinfo").write_text(INSTALLER)
    one.mounted("8:16", "/mnt")
    one.unit("script=true installer=installer; install")
    assert one.started() == "installs\n"


def test_whole_program_leaves_its_own_mark_in_both_places(machine: Machine) -> None:
    """What an earlier one has left on a file system that was kept is gone before anything is installed."""
    new = f"{machine.root}/mnt"
    mark = f"{new}/var/lib/deploy-flake/installed"
    profile = f"{new}/nix/var/nix/profiles"
    program = f"""#!/bin/sh
        [ ! -e {mark} ] || exit 1
        mkdir -p {profile} {new}{SYSTEM}
        ln -s {SYSTEM} {profile}/system
        echo >{new}{SYSTEM}/init
        echo AAAA >{new}/etc/ssh/ssh_host_ed25519_key.pub"""
    machine.put("tools/installer", program).chmod(0o755)
    machine.erased()
    machine.done(job="earlier")
    machine.unit("script=true installer=installer; install")
    assert (machine.root / "run/result").read_text() == "ok\n"
    copy = machine.root / "run/deploy-flake/installed"
    assert Path(mark).read_text() == copy.read_text() == f"{JOB} {SYSTEM}\nAAAA\n"


def test_pool_of_the_own_installation_is_no_obstacle(machine: Machine) -> None:
    """Who follows it must not be told to stop it."""
    machine.put("proc/spl/kstat/zfs/rpool/state", "ONLINE")
    machine.put("unit", "active")
    machine.put("run/deploy-flake/install/job", JOB)
    assert "erases" in machine.look("/dev/sdb")
    assert machine.install(job="job2").startswith("busy: ")
    assert machine.install().startswith("attached ")
    machine.put("unit", "inactive")
    machine.finish()
    (machine.root / "run/deploy-flake/install/ids").unlink()
    assert "erases" in machine.look("/dev/sdb")
    said = machine.install()
    assert said.startswith("attached ") and said.endswith("result=ok") and not machine.started()
    # Of an attempt that has failed it is one.
    (machine.root / "run/deploy-flake/installed").unlink()
    machine.unmount()
    assert machine.look("/dev/sdb").startswith("disk-in-use: ")


def test_swap_of_an_earlier_attempt_is_ended(machine: Machine) -> None:
    """On its disks, or in a file below its root; nobody else's."""
    machine.device("sdb1", "8:17", below="sdb/")
    machine.put("sys/devices/sdb/sdb1/partition", "1")
    machine.erased()
    at = machine.root
    swaps = f"{at}/dev/sda2 partition\n{at}/mnt/swap file\n{at}/dev/sdb1 partition\n"
    machine.put("proc/swaps", f"Filename Type\n{swaps}")
    assert "log" in machine.install()
    assert machine.started() == "swapoff /mnt/swap\nswapoff /dev/sdb1\nbegun\n"
    assert (at / "proc/swaps").read_text() == f"Filename Type\n{at}/dev/sda2 partition\n"


def test_refusal_says_whether_anything_was_erased_since_the_boot(one: Machine) -> None:
    one.put("busy/sdb", "")
    inputs = {"disks": "/dev/sdb", "devices": "/dev/sdb", "toplevel": SYSTEM, "root": "/mnt", "allow": ""}
    assert one.answer(command("install_look", inputs)).get("erased") == ""
    one.erased()
    one.put("sys/devices/sdb/diskseq", "7")
    answer = one.answer(command("install_look", inputs))
    assert (answer.get("refused"), answer.get("erased")) == ("disk-in-use", "yes")


def test_what_is_refused_is_not_read_anew(one: Machine) -> None:
    """udev would put together again what somebody has just stopped. What is read anew is looked at once more."""
    tool = (one.root / "tools/blockdev").read_text()
    one.put("tools/blockdev", f'{tool}\n[ "$1" != --rereadpt ] || echo read >>"{one.root}/started"\n')
    one.has("sdb", "TYPE=linux_raid_member")
    assert one.look("/dev/sdb").startswith("disk-of-several: ") and not one.started()
    (one.root / "content/sdb").unlink()
    found = f'printf "TYPE=ext4\\n" >"{one.root}/content/sdb"; echo 0 >"{one.root}/content/sdb.status"'
    one.put("tools/blockdev", f"{tool}\n{found}\n")
    assert one.look("/dev/sdb").startswith("has-data: ")


def test_host_that_runs_the_system_says_its_keys(one: Machine) -> None:
    system = one.root / "system"
    system.mkdir()
    (one.root / "run/current-system").symlink_to(system)
    inputs = {"disks": "/dev/sdb", "devices": "/dev/sdb", "toplevel": str(system), "root": "/mnt", "allow": ""}
    text = command("install_look", inputs).replace("mark_below_root=$var_dir/", f"mark_below_root={one.root}/")
    one.put("installed", f"{JOB} {system}\nssh-ed25519 AAAA")
    answer = one.answer(text)
    assert (answer.get("runs"), answer.all("host_key")) == ("yes", ["ssh-ed25519 AAAA"])
    one.put("installed", f"{JOB} /nix/store/other\nssh-ed25519 AAAA")
    assert not one.answer(text).all("host_key")


def test_host_keys_that_vanish_are_not_put(machine: Machine) -> None:
    for number in (1, 2):
        machine.put(f"run/keys/{number}.path", f"/etc/ssh/key{number}")
        machine.put(f"run/keys/{number}", f"secret{number}")
    assert machine.unit("keys=2; put_host_keys && has_host_keys && echo put").stdout == "put\n"
    # What is cut off leaves none beside its place.
    machine.put("mnt/etc/ssh/key1.new", "secret1")
    kept = (machine.root / "run/keys").rename(machine.root / "kept")
    subprocess.run(["cp", "-r", str(kept), str(machine.root / "run/keys")], check=True)
    machine.unit("ended")
    assert not (machine.root / "mnt/etc/ssh/key1.new").exists() and not (machine.root / "run/keys").exists()
    kept.rename(machine.root / "run/keys")
    assert (machine.root / "mnt/etc/ssh/key2").read_text() == "secret2\n"
    # The installer has made another one.
    machine.put("mnt/etc/ssh/key2", "other")
    assert machine.unit("keys=2; has_host_keys || echo not").stdout == "not\n"
    assert machine.unit("keys=3; put_host_keys || echo not").stdout == "not\n"


def test_keys_do_not_outlive_a_script_that_is_ended(machine: Machine) -> None:
    """Before the unit has begun, which would take them away."""
    began = machine.root / "began"
    machine.put("tools/systemd-run", f"#!/bin/sh\necho >{began}\n/bin/sleep 1\nexit 1\n").chmod(0o755)
    text = machine.of(command("install", machine.inputs(host_keys=f"/etc/ssh/key {'A' * 64}")))
    with subprocess.Popen([*machine.shell, "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        process.stdin.write(text)
        process.stdin.close()
        ends = time.monotonic() + 60
        while not began.exists() and time.monotonic() < ends:
            time.sleep(0.05)
        assert (machine.root / "run/deploy-flake/install/keys/1").exists()
        process.terminate()
        process.wait(60)
    assert not (machine.root / "run/deploy-flake/install").exists()


def test_mark_has_the_keys_by_which_the_host_is_known(one: Machine) -> None:
    one.put("mnt/etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA")
    assert one.unit("put_mark && echo put").stdout == "put\n"
    mark = one.root / "mnt/var/lib/deploy-flake/installed"
    assert mark.read_text() == f"{JOB} {SYSTEM}\nssh-ed25519 AAAA\n"
    assert mark.parent.stat().st_mode & 0o777 == 0o700
