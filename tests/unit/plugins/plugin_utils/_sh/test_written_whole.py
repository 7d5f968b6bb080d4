# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written down about a deployment is whole, or not there, whichever single write fails."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))

# Each write in turn finds no room, and only that one.
EACH_WRITE = """
cd '{directory}'
dir=. var_dir=. run_dir=. roots=./roots id=1 new=/new new_live=/new mode=test started=now specialisation=''
sync() {{ :; }}
printf() {{
    writes=$((writes + 1))
    if [ "$writes" = "$fails" ]; then : >hit; return 1; fi
    command printf "$@"
}}
each_write() {{
    local file
    file=$1
    shift
    fails=0
    while
        fails=$((fails + 1))
        rm -rf hit
        echo before >"$file"
        (writes=0 && "$@") >/dev/null 2>&1
        ended=$?
        [ -e hit ]
    do
        [ "$ended" != 0 ] || echo "write $fails failed, and that was not seen"
        [ "$(cat "$file")" = before ] || echo "write $fails failed, and $file is another one"
    done
    [ "$ended" = 0 ] && [ "$fails" -gt "$least" ] && ! grep -q -x before "$file" ||
        echo "it ended with $ended after $fails"
}}
"""

SYSTEMD = """
sc() { command printf 'a.socket loaded\\nb.service loaded\\nc.service loaded\\n'; }
note_links() { :; }
look_at_sshd() { :; }
host_keys() { :; }
login_keys() { :; }
load() { :; }
boot_default() { echo "/it's"; }
"""
ASKED = "sc() { command printf 'Id=a.socket\\nInvocationID=1\\n\\nId=b.timer\\nInvocationID=2\\n'; }\n"
LOADER = 'ask_loader() { loader=grub loader_starts=/é; }\nlog_end() { echo "it\'s"; echo ü; }\n'
STARTS = """
own_directory() { :; }
mount_own_storage() { :; }
find_interpreter() { interpreter=/bin/sh; }
is_recorded() { return 1; }
refuse_system() { exit 1; }
remove_directory() { :; }
program=a settings=b about=c login_user=d allow=e runtime_limit=1 stop_limit=1
begins() { dir=./x; make_directory; }
mkdir -p x && : >x/storage-is-settled
"""
UNITS = "lists() { wanted_units active >units.new && mv units.new units; }\n"
OPEN = "limited() { :; }\nmkdir -p roots\nprevious_live='/ä' previous_boot=/c boot_id=d\n"
RECORD = "echo 'why \"x\"' >why\nmakes() { record committed >record.new && mv record.new record; }\n"
DEPLOYMENT = "unit/deployment"
# The program, what stands for the host, the file, at least so many writes, and the command that writes it.
WRITERS = {
    "facts": (DEPLOYMENT, SYSTEMD, "facts", 12, "note_facts"),
    "units": (DEPLOYMENT, SYSTEMD + UNITS, "units", 2, "lists"),
    "open": (DEPLOYMENT, SYSTEMD + OPEN, "open.json", 20, "open_durably"),
    "record": (DEPLOYMENT, LOADER + RECORD, "record", 40, "makes"),
    "runs": (DEPLOYMENT, ASKED, "invocations", 2, "note_invocations invocations"),
    "trial": ("unit/trial", "trial_file=./trial.json trial_old='/ö'\n", "trial.json", 25, "note_trial armed"),
    "settings": ("command/start", STARTS, "x/settings", 8, "begins"),
}


@every_shell
@pytest.mark.parametrize("what", WRITERS)
def test_each_write_that_fails_is_seen(shell: list[str], tmp_path: Path, what: str) -> None:
    """A disk that was full for a moment leaves a hole, and not only a shorter file."""
    name, before, file, least, command = WRITERS[what]
    functions = join(name).rpartition("\nmain ")[0]
    script = f"{functions}\n{EACH_WRITE.format(directory=tmp_path)}{before}least={least}\neach_write {file} {command}\n"
    assert said(shell, script) == ""


@every_shell
@pytest.mark.parametrize("failures", [0, 3, 99])
def test_record_that_was_cut_off_is_made_again(shell: list[str], tmp_path: Path, failures: int) -> None:
    """Where no process can be started for a moment; and where that lasts there is no line, and no half one."""
    script = f"{join('lib/record')}\n"
    script += f"cd '{tmp_path}'\ndir=. var_dir=. id=1\nsync() {{ :; }}\nsleep() {{ :; }}\nclose() {{ state=$1; }}\n"
    script += 'record() {\n    echo >>made\n    printf \'{"id": "1"\'\n'
    script += (
        f'    [ "$(grep -c ^ made)" -gt {failures} ] || exit 2\n    echo \', "outcome": "x"}}\'\n}}\nfinish refused\n'
    )
    script += 'echo "$state"\n'
    assert said(shell, script).splitlines()[-1:] == ["refused"]
    lines = (tmp_path / "deployments.jsonl").read_text() if (tmp_path / "deployments.jsonl").exists() else ""
    assert [json.loads(line) for line in lines.splitlines()] == (
        [] if failures == 99 else [{"id": "1", "outcome": "x"}]
    )


def said(shell: list[str], script: str) -> str:
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=60)
    return done.stdout


@every_shell
@pytest.mark.parametrize(
    "left", [b'{"id": "0", "out', b"\0" * 40, b"\0" * 20 + b'"outcome": "committed"}\n', b'{"id": "0"\0\0\0}\n', b""]
)
def test_line_that_a_power_loss_has_cut_off(shell: list[str], tmp_path: Path, left: bytes) -> None:
    """ext4 may have its length, and zeros where its bytes are not on the disk yet: it goes, and nothing before it."""
    whole = b'{"id": "a", "outcome": "committed", "started": "x"}\n'
    written = tmp_path / "deployments.jsonl"
    (tmp_path / "record").write_text('{"id": "1", "outcome": "interrupted", "started": "x"}\n')
    for before in (whole, b""):
        written.write_bytes(before + left)
        script = f"{join('lib/record')}\nvar_dir=. dir=. id=1\nsync() {{ :; }}\nwrite_line && recorded_outcome"
        done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("interrupted\n", "")
        assert written.read_bytes() == before + (tmp_path / "record").read_bytes()
        (tmp_path / "recorded").unlink()


@every_shell
@pytest.mark.parametrize("tool", ["tail", "tr"])
def test_a_tool_that_fails_cuts_off_no_line(shell: list[str], tmp_path: Path, tool: str) -> None:
    whole = '{"id": "a", "outcome": "committed", "started": "x"}\n'
    written, record = tmp_path / "deployments.jsonl", tmp_path / "record"
    written.write_text(whole)
    record.write_text('{"id": "1", "outcome": "committed", "started": "x"}\n')
    script = f"{join('lib/record')}\nvar_dir=. dir=. id=1\nsync() {{ :; }}\n{tool}() {{ return 1; }}\nwrite_line"
    subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, cwd=tmp_path)
    assert written.read_text() == whole + record.read_text()


@every_shell
def test_lines_before_one_with_zeros_are_read(shell: list[str], tmp_path: Path) -> None:
    """To grep it is no text."""
    line = '{"id": "a", "outcome": "committed", "started": "x", "live": "/s", "to": "/s", "to_live": "/s"}\n'
    (tmp_path / "deployments.jsonl").write_text(line + "\0" * 40)
    script = f"{join('lib/committed_live')}\nvar_dir=.\ncommitted_live /s && echo yes\nrecorded_lines | grep -c ."
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("yes\n1\n", "")


@every_shell
def test_what_stands_on_both_sides_of_zeros_is_no_line(shell: list[str], tmp_path: Path) -> None:
    line = '{"id": "1", "message": "\0\0\0", "outcome": "committed", "started": "x"}\n'
    (tmp_path / "deployments.jsonl").write_text(line)
    script = f"{join('lib/record')}\nvar_dir=. id=1\nrecorded_outcome"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
