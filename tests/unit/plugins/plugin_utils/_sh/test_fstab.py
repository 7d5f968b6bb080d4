# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts, automounts and swap that a new system has brought, in the shells that a host may have."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))

OLD = """\
# a comment, and /home in it
/dev/disk/by-label/nixos / ext4 defaults 0 1
/dev/disk/by-label/data /data ext4 defaults 0 2
tank/both /both zfs x-systemd.automount,noauto 0 0

/dev/disk/by-label/swap none swap defaults
"""
NEW = """\
/dev/disk/by-label/nixos / ext4 defaults 0 1
/dev/disk/by-label/other /data ext4 x-systemd.automount 0 2
tank/both /both zfs noauto,x-systemd.automount,x-systemd.idle-timeout=60 0 0
server:/home /home nfs x-systemd.automount,nofail 0 0
server:/my\\040music //srv/a-b\\040c/.d/ nfs nofail,comment=systemd.automount 0 0
server:/no /no nfs x-systemd.automountless 0 0
UUID=1234-ab none swap sw
LABEL=more none swap sw
/var/swap-file none swap sw
"""
# As the kernel writes it: one that waits, one that is mounted, one whose name has a blank, and one of somebody else.
MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /home rw,relatime shared:9 - autofs systemd-1 rw,fd=49,pgrp=1
31 22 0:31 / /data rw,relatime shared:10 - autofs systemd-1 rw,fd=50,pgrp=1
32 31 8:2 / /data rw,relatime shared:11 master:2 - ext4 /dev/sdb1 rw
33 22 0:33 / /srv/a-b\\040c/.d rw - autofs systemd-1 rw,fd=51,pgrp=1
34 22 0:34 / /both rw - autofs systemd-1 rw,fd=52,pgrp=1
35 22 0:35 / /net rw - autofs /etc/auto.net rw,fd=53
"""
BLANK = "srv-a\\x2db\\x20c-.d"


def run(shell: list[str], directory: Path, commands: str) -> list[str]:
    assert shutil.which(shell[0]), f"{shell[0]} is not installed"
    for name, text in (("old", OLD), ("new", NEW)):
        (directory / name / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
        (directory / name / "etc/fstab").write_text(text, encoding="utf-8")
    (directory / "mountinfo").write_text(MOUNTINFO, encoding="utf-8")
    script = f"new_live={directory}/new previous_live={directory}/old dir={directory}\n{join('lib/verify')}\n"
    script = script.replace("/proc/self/mountinfo", f"{directory}/mountinfo")
    script += f"cd {directory}\n: >active; : >active-now; : >invocations; : >invocations-new\n{commands}"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@every_shell
def test_names_of_units(shell: list[str], tmp_path: Path) -> None:
    """As systemd makes them of its fstab."""
    assert [line.split(" ")[0] for line in run(shell, tmp_path, "fstab_units $new_live")] == [
        *("-.mount", "data.mount", "data.automount", "both.mount", "both.automount", "home.mount", "home.automount"),
        *(f"{BLANK}.mount", f"{BLANK}.automount", "no.mount"),
        *(
            "dev-disk-by\\x2duuid-1234\\x2dab.swap",
            "dev-disk-by\\x2dlabel-more.swap",
            "var-swap\\x2dfile.swap",
        ),
    ]
    assert run(shell, tmp_path, "fstab_units /nowhere") == []
    escape = shutil.which("systemd-escape")
    if escape:
        command = [escape, "--path", "--suffix=automount", "/srv/a-b c/.d"]
        assert (
            subprocess.run(command, text=True, capture_output=True, check=True).stdout.strip() == f"{BLANK}.automount"
        )


@every_shell
def test_automounts_of_the_new_system(shell: list[str], tmp_path: Path) -> None:
    """Those that it alone has, whether systemd still knows them or not; before the mounts that they ask for."""
    script = (
        "printf '%s\\n' home.mount net.mount both.automount data.automount >active-now\nlist_only_new\ncat only-new"
    )
    assert run(shell, tmp_path, script) == ["home.automount", f"{BLANK}.automount", "home.mount", "data.automount"]
    # One that somebody had made before is not the new system's.
    script = f"printf '%s\\n' home.automount >active\n{script.partition('>active-now')[0]}>active-now\n"
    assert "home.automount" not in run(shell, tmp_path, script + "list_only_new\ncat only-new")


@every_shell
def test_automounts_end_and_leave_nothing(shell: list[str], tmp_path: Path) -> None:
    """systemd has forgotten where they are: what it leaves mounted goes away, and nothing that is mounted upon it."""
    script = 'limited() { shift; echo "$*"; }\nend_new_automounts'
    assert run(shell, tmp_path, script) == [
        f"systemctl --no-pager --job-mode=ignore-dependencies stop -- home.automount data.automount {BLANK}.automount",
        "umount -l /home",
        "umount -l /srv/a-b c/.d",
    ]


@every_shell
def test_what_is_mounted_otherwise_is_not_missing(shell: list[str], tmp_path: Path) -> None:
    script = """
    units_in() { printf '%s\\n' $now; }
    sc() { :; }
    printf '%s\\n' a.automount a.mount b.automount b.mount c.automount d.swap >active
    : >failed-before
    look() { : >only-new; : >changed; now=$1; wanted_units() { case $1 in activ*,*) printf '%s\\n' $now ;; esac; }
        failed_units() { :; }
        list_only_new() { :; }
        list_changed() { :; }
        units_are_as_before || cat missing; }
    look 'a.automount b.mount c.automount d.swap'
    echo -
    look 'a.automount'
    """
    assert run(shell, tmp_path, script) == ["-", "b.automount", "b.mount", "c.automount", "d.swap"]


@every_shell
def test_swap_goes_by_its_device(shell: list[str], tmp_path: Path) -> None:
    """The kernel has one name for it, fstab another."""
    (tmp_path / "vdb").touch()
    (tmp_path / "link").symlink_to("vdb")
    script = f"""
    echo '{tmp_path}/link none swap sw' >>$new_live/etc/fstab
    sc() {{ case $* in *dev-vdb.swap*) echo {tmp_path}/vdb ;; *) echo /other ;; esac; }}
    for each in dev-vdb.swap dev-other.swap; do ! came_with_the_new_system $each || echo $each; done
    """
    assert run(shell, tmp_path, script) == ["dev-vdb.swap"]


@every_shell
def test_a_mount_of_something_else_is_another(shell: list[str], tmp_path: Path) -> None:
    script = (
        "for each in -.mount data.mount both.mount home.mount gone.mount; do ! is_other_mount $each || echo $each; done"
    )
    assert run(shell, tmp_path, f"sc() {{ :; }}\n{script}") == ["data.mount"]


@every_shell
def test_options_that_differ(shell: list[str], tmp_path: Path) -> None:
    """By the unit's name: systemd says it without blanks' codes, and may say nothing."""
    for name, options in (("old", "rw"), ("new", "rw,noexec")):
        (tmp_path / name / "etc/systemd/system").mkdir(parents=True)
        table = f"server:/a /my\\040dir nfs {options}\nserver:/b /same nfs rw\n# /no nfs {options}\n"
        (tmp_path / name / "etc/fstab").write_text(table, encoding="utf-8")
    script = f"new_live={tmp_path}/new previous_live={tmp_path}/old dir={tmp_path}\n{join('lib/unit_changes')}\n"
    script += "sc() { return 1; }\nfor name in 'my\\x20dir.mount' same.mount no.mount; do\n"
    script += '    if are_different "$name"; then echo yes; else echo no; fi\ndone'
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert (done.stdout.split(), done.stderr) == (["yes", "no", "no"], "")
