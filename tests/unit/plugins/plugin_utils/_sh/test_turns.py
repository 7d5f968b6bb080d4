# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is to start something: it is over with whoever had it. No process keeps it that was started then."""

from __future__ import annotations

import signal
import subprocess
from os import kill
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

from .test_scripts import every_shell

pytestmark = pytest.mark.shell
STARTS = 'sleep 60 >/dev/null 2>&1 & echo "$!"'
STUBS = """
run_dir={directory} may_start=yes paths= nar_size= login_user=root name=x patience=0 boot_id=
answer_begin() {{ :; }}
require_root() {{ :; }}
nix() {{ :; }}
own_directory() {{ :; }}
read_line() {{ line=; }}
is_taken() {{ ! flock -n {directory} true || echo "$1 not taken"; }}
{start}() {{ is_taken inside; STARTS; }}
hand_out() {{ flock -w 10 {directory} true || echo "still taken"; }}
main
exit
""".replace("STARTS", STARTS)


def still_taken(shell: list[str], script: str, directory: Path) -> bool:
    """Whether it still is somebody's turn when the script is over, and what it has started, whose id it says, is not.

    Until that is a program it is a copy of the shell, with all that the shell has.
    """
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    started, *wrong = done.stdout.splitlines()
    assert not wrong
    try:
        return subprocess.run(["flock", "-w", "10", directory, "true"], check=False, timeout=30).returncode != 0
    finally:
        kill(int(started), signal.SIGKILL)


@every_shell
@pytest.mark.parametrize(("command", "start"), [("build", "start_build"), ("install", "start")])
def test_the_turn_is_over(shell: list[str], tmp_path: Path, command: str, start: str) -> None:
    """For those, too, whom who has started it keeps waiting."""
    script = join(f"command/{command}").rpartition("\nmain")[0] + STUBS.format(directory=tmp_path, start=start)
    assert not still_taken(shell, script, tmp_path)


@every_shell
def test_the_turn_of_who_tidies_up_is_over(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "build-x").mkdir()
    script = f"{join('lib/old_builds')}\nrun_dir={tmp_path}\ndrop_old_builds() {{ {STARTS}; }}\ntidy_builds\n"
    assert not still_taken(shell, script, tmp_path)


@every_shell
def test_the_turn_of_who_reads_the_result_is_over(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "result").touch()
    script = f"{join('command/build').rpartition(chr(10) + 'main')[0]}\nrun_dir={tmp_path} build={tmp_path}\n"
    script += f"wait_for_news() {{ :; }}\nfind_result() {{ {STARTS}; exit; }}\nhand_out\n"
    assert not still_taken(shell, script, tmp_path)
