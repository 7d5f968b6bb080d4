# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else moves the boot default between our look at it and our call of switch-to-configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import program

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))

# The first call comes to its turn after somebody else has set theirs and written the boot loader.
PLAYED = """
profile=$PWD/profiles/system dir=$PWD
boot_default() { readlink "$profile"; }
sync() { :; }
sync_boot_side() { :; }
ask_loader() { loader_starts=; }
logged() {
    [ -e moved ] || { touch moved && ln -sfn theirs "$profile"; }
    echo "$2" >>written
    status=0
}
read_log() { :; }
exec 7>log
mkdir profiles && ln -s ours "$profile"
"""


def written(shell: list[str], where: Path, unit: str, then: str) -> list[str]:
    """The systems whose entries were written in turn, and what was said."""
    functions = program(unit).rpartition('main "$@"')[0]
    script = f"{functions}\n{PLAYED}\n{then}"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, cwd=where)
    assert not done.stderr, done.stderr
    return [*(where / "written").read_text().split(), *done.stdout.split()]


@every_shell
def test_removal(shell: list[str], tmp_path: Path) -> None:
    """The entries of what is gone go, and the boot loader starts theirs."""
    then = 'boot_limit=9 default=ours aside=$profile-removed\nmkdir "$aside"\nwrite_boot_entries\necho "$default"'
    theirs = "theirs/bin/switch-to-configuration"
    assert written(shell, tmp_path, "prune", then) == ["ours/bin/switch-to-configuration", theirs, "theirs"]
    assert (tmp_path / "boot-written").exists()
    assert not (tmp_path / "profiles/system-removed").exists()


@every_shell
def test_trial(shell: list[str], tmp_path: Path) -> None:
    """A preparation gives up, and what it has written over is written again; an end of one writes theirs."""
    begin = "commit_limit=9 trial_old=ours\n"
    ours, theirs = (f"{who}/bin/switch-to-configuration" for who in ("ours", "theirs"))
    said = ["199", "0"]
    then = 'write_entries_again || echo "$switch_status"\nwrite_entries_of_default\necho "$switch_status"'
    assert written(shell, tmp_path, "trial", begin + then) == [ours, theirs, *said]


@every_shell
def test_end_of_a_trial(shell: list[str], tmp_path: Path) -> None:
    then = 'commit_limit=9\nwrite_entries_of_default\necho "$switch_status $trial_old"'
    ours, theirs = (f"{who}/bin/switch-to-configuration" for who in ("ours", "theirs"))
    assert written(shell, tmp_path, "trial", then) == [ours, theirs, "0", "theirs"]


@every_shell
def test_specialisation_that_somebody_else_has_chosen_stays(shell: list[str], tmp_path: Path) -> None:
    """They made another system the boot default, and had the boot loader start a specialisation of it."""
    (tmp_path / "theirs/specialisation").mkdir(parents=True)
    desk = tmp_path / "desk"
    (tmp_path / "theirs/specialisation/desk").symlink_to(desk)
    then = "boot_limit=9 default=ours aside=$profile-removed\nmkdir $aside\n"
    then += f"ask_loader() {{ loader_starts=; [ ! -e moved ] || loader_starts={desk}; }}\nwrite_boot_entries"
    ours, theirs = (f"{who}/bin/switch-to-configuration" for who in ("ours", desk))
    assert written(shell, tmp_path, "prune", then) == [ours, theirs]


@every_shell
def test_boot_loader_that_cannot_be_written_for_theirs(shell: list[str], tmp_path: Path) -> None:
    """The generations are there again, and it is told that it was written before."""
    then = "boot_limit=9 default=ours aside=$profile-removed\nmkdir $aside\nln -s /nix/store/one $aside/system-1-link\n"
    then += 'logged() {\n    echo "$2" >>written\n    [ -e moved ] && status=1 && return\n'
    then += '    touch moved && ln -sfn theirs "$profile"\n    status=0\n}\nwrite_boot_entries'
    ours, theirs = (f"{who}/bin/switch-to-configuration" for who in ("ours", "theirs"))
    assert written(shell, tmp_path, "prune", f"reap_logged() {{ :; }}\n{then}") == [ours, theirs, theirs]
    assert (tmp_path / "result").read_text() == "boot-failed 1\n"
    assert (tmp_path / "boot-written").exists()
    assert (tmp_path / "profiles/system-1-link").is_symlink()
