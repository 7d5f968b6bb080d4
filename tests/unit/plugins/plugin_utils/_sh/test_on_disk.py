# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be on the disk before a deployment goes on. That it is there, tests on machines whose power is cut show."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join, program

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
MOUNTS = """\
21 1 254:2 / / rw,relatime shared:1 - ext4 /dev/vda2 rw
22 21 254:1 / /boot rw,relatime shared:2 - autofs systemd-1 rw
23 22 254:1 / /boot rw,relatime - vfat /dev/vda1 rw
24 21 254:3 / /boot-fallback rw,relatime shared:3 master:4 - ext4 /dev/vdb1 rw
25 21 254:4 / /esp rw,relatime shared:5 - vfat /dev/vdc1 rw
26 21 254:5 / /media/my\\040stick rw,relatime shared:6 - vfat /dev/vdd1 rw
28 21 254:6 / /media/stick rw,relatime shared:8 - vfat /dev/vde1 rw
29 21 0:41 / /boot-images rw,relatime shared:9 - nfs4 server:/images rw
30 21 254:7 / /bootstrap rw,relatime shared:10 - ext4 /dev/vdf1 rw
27 21 0:40 / /srv rw,relatime shared:7 - nfs4 server:/srv rw
"""
# Says instead of doing it.
SAID = """
limited() { shift; "$@"; status=$?; return "$status"; }
sync() { echo "sync $*"; }
profile=/nix/var/nix/profiles/system
mount_table=mounts
mounts_wanted=fstab
log_line() { echo "$1"; }
switch_lock=./lock
"""
FSTAB = """\
UUID=1 /boot vfat umask=0077 0 2
UUID=2 /esp vfat umask=0077 0 2
# UUID=3 /media/stick vfat defaults 0 0
"""
STORE = ["sync -f /nix/var/nix/profiles", "sync -f /nix/store"]


def run(shell: list[str], script: str, where: Path) -> list[str]:
    (where / "mounts").write_text(MOUNTS)
    (where / "fstab").write_text(FSTAB)
    done = subprocess.run(
        [*shell, "-s"], input=script, text=True, capture_output=True, check=True, cwd=where, timeout=60
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@every_shell
def test_boot_side(shell: list[str], tmp_path: Path) -> None:
    """Each file system that a boot loader reads is written, and then the cache of its disk."""
    said = run(shell, f"{join('lib/on_disk')}\n{SAID}\nsync_boot_side 9", tmp_path)
    places = ("/boot", "/boot-fallback", "/esp")
    assert said == STORE + [f"sync {word}{place}" for place in places for word in ("-f ", "")]


@every_shell
def test_cache_of_a_disk_is_emptied_by_a_file(shell: list[str], tmp_path: Path) -> None:
    """The fsync of a directory does nothing in ext4 where nothing is left to commit."""
    (tmp_path / "boot/grub").mkdir(parents=True)
    (tmp_path / "boot/grub/grub.cfg").touch()
    said = run(shell, f"{join('lib/on_disk')}\n{SAID}\nto_disk 9 boot", tmp_path)
    assert said == ["sync -f boot", "sync boot/grub/grub.cfg"]


@every_shell
def test_store_of_its_own(shell: list[str], tmp_path: Path) -> None:
    """The moved profile link is on the disk before the boot loader is written; it is not where it leads to."""
    script = f"{join('lib/commit')}\n{SAID}\ncommit_limit=9 new=/new dir=.\nstate() {{ :; }}\nwhy() {{ :; }}\n"
    script += 'switch_to() { echo "writes the boot loader"; switch_status=199; }\nfinish_commit'
    said = run(shell, f"{script} || :", tmp_path)
    assert said[:3] == [*STORE, "writes the boot loader"]


@every_shell
def test_choice_of_an_entry(shell: list[str], tmp_path: Path) -> None:
    """GRUB reads what grub-reboot has written without the file system's journal."""
    script = f"{join('lib/boot_once')}\n{SAID}\nloader=grub grubenv=grub/grubenv\nmkdir grub\n"
    script += "timeout() { :; }\nchosen_once() { echo entry; }\n"
    assert run(shell, f"{script}boot_once entry\nnot_once entry", tmp_path) == 2 * ["sync -f grub", "sync grub"]


@every_shell
def test_removal(shell: list[str], tmp_path: Path) -> None:
    """The boot loader names what is gone no more, also after a power loss, before it is collected."""
    functions = program("prune").rpartition('main "$@"')[0]
    script = f"{functions}\n{SAID}\ndir=. boot_limit=9 default=ours aside=aside profile=profiles/system\n"
    script += "mkdir -p aside profiles\nask_loader() { loader_starts=; }\nis_still_default() { :; }\n"
    script += 'write_loader() { echo "writes the boot loader"; switch_status=0; }\n'
    script += 'sync_boot_side() { [ ! -d aside ] || echo "boot side"; }\nwrite_boot_entries'
    said = run(shell, script, tmp_path)
    assert said == ["sync -f profiles", "writes the boot loader", "boot side", "sync -f profiles"]


@every_shell
@pytest.mark.parametrize("synced", [True, False])
def test_configuration_that_is_replaced_is_not_emptied(shell: list[str], tmp_path: Path, synced: bool) -> None:
    """ext4 may empty an old file at its place before the name there is the new one's: it stays until all is written."""
    names = ("grub/grub.cfg", "extlinux/extlinux.conf")
    for name in names:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("old\n")
    script = f"{join('lib/switch')}\n{SAID}\nboot_file_systems() {{ echo .; }}\nexec 7>/dev/null\n"
    script += "log_line() { :; }\nread_log() { :; }\ntime_for() { :; }\nclock() { uptime=1; }\n"
    script += f'logged() {{ for name in {" ".join(names)}; do echo "$2" >new; mv new "$name"; done; status=0; }}\n'
    script += f"sync() {{ {'true' if synced else 'false'}; }}\n"
    script += "switch_to 9 /a check :; ls */*\nswitch_to 9 /b boot :; switch_to 9 /c boot :\n"
    script += "cat */*.deploy-flake | sort\n"
    script += "sync_boot_side 9; cat */*.deploy-flake 2>/dev/null | sort; cat grub/grub.cfg"
    kept = [f"/{name}/bin/switch-to-configuration" for name in "aabb"]
    assert run(shell, script, tmp_path) == [
        *sorted(names),
        *kept,
        *([] if synced else kept),
        "/c/bin/switch-to-configuration",
    ]


@every_shell
@pytest.mark.parametrize("failing", ["-f /nix/store", "/esp", "-f /boot"])
def test_what_could_not_be_written_is_told(shell: list[str], tmp_path: Path, failing: str) -> None:
    """And the others are written all the same."""
    script = f'{join("lib/on_disk")}\n{SAID}\nsync() {{ echo "$*"; [ "$*" != "{failing}" ]; }}\n'
    said = run(shell, f"{script}sync_boot_side 9 || echo failed", tmp_path)
    places = ("/boot", "/boot-fallback", "/esp")
    words = [
        *("-f /nix/var/nix/profiles", "-f /nix/store"),
        *(f"{word}{place}" for place in places for word in ("-f ", "")),
    ]
    assert said == [*words, "what the boot loader reads could not be brought to the disk", "failed"]


@every_shell
@pytest.mark.parametrize(("there", "stays"), [("whole", True), ("whole+", True), ("", False), ("wh\0\0\0", False)])
@pytest.mark.parametrize("place", ["kernels/a-k-bzImage", "EFI/nixos/a-k-bzImage.efi", "nixos/a-k-bzImage"])
def test_kernel_that_was_cut_off(shell: list[str], tmp_path: Path, place: str, there: str, stays: bool) -> None:
    """An installer would leave it, so it goes; what has secrets behind it is whole."""
    kernel, copy = tmp_path / "nix/store/a-k/bzImage", tmp_path / "boot" / place
    for file, text in ((kernel, "whole"), (copy, there)):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    other = copy.with_name("b-k-bzImage")
    other.touch()
    (tmp_path / "system").mkdir()
    (tmp_path / "system/kernel").symlink_to(kernel)
    functions = join("lib/before_loader").replace("/nix/store/", f"{tmp_path}/nix/store/")
    script = f"{functions}\n{SAID}\nboot_file_systems() {{ echo boot; }}\nbefore_loader 9 system"
    assert run(shell, script, tmp_path) == []
    assert copy.exists() == stays and other.exists()


def bringing(tmp_path: Path, case: str) -> str:
    """A script that does it, with a host on which the copies of the running system are there."""
    store, copies = tmp_path / "nix/store", tmp_path / "boot/EFI/nixos"
    copies.mkdir(parents=True)
    for name in ("old/kernel", "new/kernel", "new/initrd", "new/specialisation/own/kernel"):
        file = store / f"{name.replace('/', '-')}/file"
        file.parent.mkdir(parents=True)
        file.write_text(name)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(file)
    (copies / f"{'kernel-1' if case == 'other names' else 'old-kernel-file'}.efi").write_text("old/kernel")
    running = "gone" if case == "of a generation" else "old"
    (tmp_path / f"profile-{'1-link' if case == 'of a generation' else 'none'}").symlink_to("old")
    functions = join("lib/before_loader").replace("/nix/store/", f"{store}/").replace("/run/booted-system", running)
    return "\n".join(
        (
            f"{functions}\n{SAID}\nboot_file_systems() {{ echo boot; }}",
            "has_room() { :; }\nclock() { uptime=1; }\nprofile=profile",
            f"kind={'ext2/ext3' if case == 'ext4' else 'msdos'}",
            'stat() { if [ "$1" = -f ]; then echo "$kind"; else command stat "$@"; fi; }',
            f"boot_default() {{ echo {'old' if case == 'another default' else 'new'}; }}",
            f"ask_loader() {{ loader={'grub' if case == 'another loader' else 'systemd-boot'}; }}",
            'no_room() { echo "$1 s for $3"; head -c 1 "$3" >"$4"; status=1; return 1; }',
            'limited() { if [ "$2" = cp ]; then no_room "$@"; else shift; "$@"; fi; }' if case == "no room" else "",
            "",
        )
    )


@every_shell
@pytest.mark.parametrize("case", ["", "of a generation"])
def test_copies_come_before_an_installer_names_them(shell: list[str], tmp_path: Path, case: str) -> None:
    """FAT may have the name that an entry has of a copy before the copy's own."""
    script = bringing(tmp_path, case)
    copies = tmp_path / "boot/EFI/nixos"
    # What a kill has left.
    (copies / "some.efi.deploy-flake").touch()
    names = ["new-kernel-file", "new-initrd-file"]
    brought = [f"sync boot/EFI/nixos/{name}.efi.deploy-flake" for name in names]
    said = run(shell, f"{script}before_loader 9 new; echo again; before_loader 9 new", tmp_path)
    there = {file.name: file.read_text() for file in copies.iterdir() if file.name != "old-kernel-file.efi"}
    assert there == {"new-kernel-file.efi": "new/kernel", "new-initrd-file.efi": "new/initrd"}
    on_disk = said[said.index("again") + 1 :]
    assert on_disk[0] == "sync -f boot" and len(on_disk) == 2
    assert said == [*brought, *on_disk, "again", *on_disk]


@every_shell
@pytest.mark.parametrize("case", ["another default", "other names", "ext4", "another loader"])
def test_copies_are_left_to_installers(shell: list[str], tmp_path: Path, case: str) -> None:
    assert run(shell, f"{bringing(tmp_path, case)}before_loader 9 new", tmp_path)[2:] == []
    assert len(list((tmp_path / "boot/EFI/nixos").iterdir())) == 1


@every_shell
def test_copies_for_which_there_is_no_room(shell: list[str], tmp_path: Path) -> None:
    """They are left to the installer, which says so."""
    said = run(shell, f"{bringing(tmp_path, 'no room')}before_loader 9 new", tmp_path)
    assert said[:2] == [f"9 s for {tmp_path}/nix/store/new-{part}/file" for part in ("kernel", "initrd")]
    assert [file.name for file in (tmp_path / "boot/EFI/nixos").iterdir()] == ["old-kernel-file.efi"]


BESIDE = """
read_log() { :; }
log_line() { :; }
log_mark() { :; }
reap_logged() { :; }
time_for() { time=9; }
clock() { uptime=$((${uptime:-0} + 1)); }
exec 7>said
"""


@every_shell
def test_nothing_is_touched_beside_another_installer(shell: list[str], tmp_path: Path) -> None:
    """It makes the very files that would be looked at: it is waited for, as switch-to-configuration itself does."""
    script = f"{join('lib/switch')}\n{SAID}\n{BESIDE}\nbefore_loader() {{ echo prepares; flock -n ./lock echo bad; }}\n"
    script += "pause() { echo waits; exec 5>&-; }\nlogged() { status=0; flock -n ./lock echo runs; }\n"
    script += "exec 5>./lock; flock -n 5\nswitch_to 9 /a boot :"
    assert run(shell, script, tmp_path) == ["waits", "prepares", "runs"]
    assert (tmp_path / "said").read_text() == "Could not acquire lock\n"


@every_shell
def test_lock_that_cannot_be_opened(shell: list[str], tmp_path: Path) -> None:
    script = (
        f"{join('lib/switch')}\n{SAID}\n{BESIDE}\nbefore_loader() {{ echo prepares; }}\nlogged() {{ echo runs; }}\n"
    )
    script += 'pause() { :; }\nswitch_lock=./file/lock; printf "" >file; switch_to 9 /a boot : || echo "$switch_status"'
    assert run(shell, script, tmp_path) == ["11"]


@every_shell
def test_somebody_switches_while_a_loader_is_prepared(shell: list[str], tmp_path: Path) -> None:
    """The look before the installer is made again."""
    script = f"{join('lib/switch')}\n{SAID}\n{BESIDE}\nbefore_loader() {{ touch theirs; }}\nlogged() {{ echo runs; }}\n"
    script += 'ours() { [ ! -e theirs ]; }\nswitch_to 9 /a boot ours || echo "$switch_status"'
    assert run(shell, script, tmp_path) == ["199"]


ENTRIES = ("loader/entries/a.conf", "loader/entries/b.conf")
BEGINS_WITH = (
    *ENTRIES,
    *("EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi", "loader/loader.conf", "grub/grub.cfg"),
    "extlinux/extlinux.conf",
)


@every_shell
@pytest.mark.parametrize("subshell", [True, False])
@pytest.mark.parametrize("synced", [True, False])
def test_what_a_boot_loader_begins_with_is_held(shell: list[str], tmp_path: Path, synced: bool, subshell: bool) -> None:
    """FAT frees a file that is replaced before the name is the new one's: it is open until all is written."""
    for name in BEGINS_WITH:
        file = tmp_path / "boot" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("old")
    script = f"{join('lib/before_loader')}\n{SAID}\nboot_file_systems() {{ echo boot; }}\n"
    script += f"sync() {{ {'true' if synced else 'false'}; }}\nstat() {{ echo msdos; }}\n"
    script += 'replace() { for file in boot/*/*.* boot/*/*/*.*; do echo "$1" >new; mv new "$file"; done; }\n'
    script += "(\n" if subshell else ""
    script += "before_loader 9 /a; sleep 0.2; replace new; before_loader 9 /b; sleep 0.2; replace newer\n"
    script += 'held() { for process in $held_by; do ls -l "/proc/$process/fd"; done | grep -c "(deleted)"; }\n'
    script += "processes=$held_by; held; sync_boot_side 9 >/dev/null\n"
    script += 'for process in $processes; do [ ! -e "/proc/$process/fd/0" ] || echo alive; done\n'
    script += ")\n" if subshell else ""
    said = run(shell, script, tmp_path)
    assert said == [str(2 * len(BEGINS_WITH)), *([] if synced else ["alive", "alive"])]


@every_shell
def test_many_files_are_held(shell: list[str], tmp_path: Path) -> None:
    """A shell has an end to its calls within calls."""
    entries = tmp_path / "boot/loader/entries"
    entries.mkdir(parents=True)
    for number in range(1100):
        (entries / f"{number}.conf").touch()
    script = f"{join('lib/before_loader')}\n{SAID}\nboot_file_systems() {{ echo boot; }}\nstat() {{ echo msdos; }}\n"
    script += "has_room() { :; }\nbefore_loader 9 /a; sleep 2\n"
    script += 'for process in $held_by; do ls -l "/proc/$process/fd"; done | grep -c "[.]conf$"; let_go_of_files'
    assert run(shell, script, tmp_path) == ["1100"]


@every_shell
def test_files_are_held_until_a_failing_installer_has_been_synced(shell: list[str], tmp_path: Path) -> None:
    """Who holds them would be ended with all that it has left behind."""
    (tmp_path / "boot/loader").mkdir(parents=True)
    (tmp_path / "boot/loader/loader.conf").touch()
    script = f"{join('lib/switch')}\n{SAID}\nboot_file_systems() {{ echo boot; }}\nstat() {{ echo msdos; }}\n"
    script += "has_room() { :; }\nread_log() { :; }\ntime_for() { :; }\nclock() { uptime=1; }\nlog_mark() { :; }\n"
    script += "log_line() { :; }\nlogged() { status=1; }\n"
    script += 'sync() { [ -z "$held_by" ] || echo "sync, held"; }\nreap_logged() { echo "reaps$held_by"; }\n'
    script += "switch_to 9 /a boot :"
    done = run(shell, f"{script} || :", tmp_path)
    assert done == [*4 * ["sync, held"], "reaps"]


@every_shell
def test_nothing_is_held_where_it_need_not_be(shell: list[str], tmp_path: Path) -> None:
    """A file system with a file that is open and has no name any more cannot be made read-only."""
    (tmp_path / "boot/loader").mkdir(parents=True)
    (tmp_path / "boot/loader/loader.conf").touch()
    script = f"{join('lib/before_loader')}\n{SAID}\nboot_file_systems() {{ echo boot; }}\nstat() {{ echo ext4; }}\n"
    assert run(shell, f'{script}before_loader 9 /a; echo "$held_by."', tmp_path) == ["."]


@every_shell
def test_whoever_holds_ends_with_the_script(shell: list[str], tmp_path: Path) -> None:
    for name in ENTRIES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    gone = "loader/entries/gone.conf"
    script = f"{join('lib/held_files')}\nhold_files {ENTRIES[0]} {gone} {ENTRIES[1]}; sleep 0.2\n"
    script += 'echo $held_by; ls -l "/proc/${held_by# }/fd" | grep -c entries'
    process, held = run(shell, script, tmp_path)
    assert held == "2"
    deadline = time.monotonic() + 10
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@every_shell
def test_nobody_else_is_ended(shell: list[str], tmp_path: Path) -> None:
    """Its number may be somebody else's by now."""
    with subprocess.Popen(["sleep", "30"]) as other:
        script = f"{join('lib/held_files')}\nheld_by='{other.pid} 999999999'\nlet_go_of_files; echo \"$held_by.\""
        assert run(shell, script, tmp_path) == ["."]
        assert other.poll() is None
        other.kill()


@every_shell
@pytest.mark.parametrize(
    ("kind", "size", "full"),
    [
        ("msdos", 512, ["EFI/nixos", "loader", "loader/entries"]),
        # 69 slots: two are its own, and three are the name's.
        ("msdos", 69 * 32, []),
        ("msdos", 68 * 32, ["loader/entries"]),
        ("ext2/ext3", 512, []),
    ],
)
def test_directories_without_room(shell: list[str], tmp_path: Path, kind: str, size: int, full: list[str]) -> None:
    for name in ("loader/entries", "EFI/nixos"):
        (tmp_path / "boot" / name).mkdir(parents=True)
    (tmp_path / "boot/loader/entries/nixos-generation-1.conf").touch()
    script = f"{join('lib/before_loader')}\n{SAID}\nboot_file_systems() {{ echo boot; }}\n"
    script += f"stat() {{ case $1 in -f) echo {kind} ;; *) echo {size} ;; esac; }}\nwiden() {{ echo $*; }}\n"
    script += "before_loader 9 /a"
    assert run(shell, script, tmp_path) == [f"boot boot/{name}" for name in full]


@every_shell
def test_room_is_on_the_disk_before_an_installer_begins(shell: list[str], tmp_path: Path) -> None:
    entries = tmp_path / "boot/loader/entries"
    entries.mkdir(parents=True)
    (entries / "a.conf").touch()
    script = f"{join('lib/before_loader')}\n{SAID}\n"
    script += 'rm() { for name in boot/loader/entries/*; do echo "${#name}"; done; command rm "$@"; }\n'
    said = run(shell, f"{script}widen boot boot/loader/entries; ls boot/loader/entries", tmp_path)
    flush = ["sync -f boot", "sync boot/loader/entries/a.conf"]
    # Each has twenty slots of thirteen letters, one of them its own.
    made = 6 * [str(len("boot/loader/entries/") + 240)]
    assert said == [*flush, str(len("boot/loader/entries/a.conf")), *made, "sync boot/loader/entries", *flush, "a.conf"]
