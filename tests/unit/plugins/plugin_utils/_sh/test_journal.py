# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report has of the journal, and of the output of the step that failed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))


@every_shell
@pytest.mark.parametrize(
    ("began", "since"),
    [
        ("960 19960\n", "--since=@19959 "),
        # The clock was set, on and back.
        ("960 12345\n", "--since=@12344 "),
        ("960 23456\n", "--since=@19959 "),
        # As a release before noted it.
        ("960\n", "--since=@19959 "),
        ("", ""),
    ],
)
def test_earlier_failures_of_a_unit_are_left_out(shell: list[str], tmp_path: Path, began: str, since: str) -> None:
    """From when the system was activated on, by the clock of then or of now; all, where nothing was."""
    (tmp_path / "began").write_text(began)
    text = f"dir={tmp_path}\n{join('lib/journal')}\nclock() {{ uptime=1000; }}\ndate() {{ echo 20000; }}\n"
    text += 'timeout() { case "$*" in *--sync*) ;; *) echo "$*" ;; esac; }\n'
    text += "printf 'a.service\\nb@x.mount\\n' | unit_journals\nunset dir; printf 'c.socket\\n' | unit_journals\n"
    done = subprocess.run([*shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=30)
    asked = "{0}: -k 5 10 journalctl --no-pager -q -o cat -n 6 {1}-u {0}"
    expected = [asked.format("a.service", since), asked.format("b@x.mount", since), asked.format("c.socket", "")]
    assert (done.stdout.splitlines(), done.stderr) == (expected, "")


@every_shell
def test_the_output_of_the_step_that_failed_is_not_the_one_of_the_undo(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "log").write_text("--- switch-to-configuration test of new\nits last words\n")
    (tmp_path / "undo.log").write_text("--- switch-to-configuration test of old\nfine again\n")
    (tmp_path / "about").write_text('"id": "1"\n')
    text = f"dir={tmp_path} mode=boot new=/x new_live=/x profile=/x\n{join('lib/record')}\nask_loader() {{ :; }}\n"
    text += f"loader= loader_starts= profile={tmp_path}/none log_file=$dir/undo.log\nrecord rolled-back\n"
    done = subprocess.run([*shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=30)
    record = json.loads(done.stdout)
    assert record["log"].splitlines() == ["--- switch-to-configuration test of new", "its last words"]
    assert record["undo_log"].splitlines() == ["--- switch-to-configuration test of old", "fine again"]
    (tmp_path / "undo.log").unlink()
    done = subprocess.run([*shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout)["undo_log"] == ""
