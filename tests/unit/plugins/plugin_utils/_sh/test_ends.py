# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a deployment, of an undo and of a repair, in the shells that a host may have."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))


@every_shell
@pytest.mark.parametrize("unit", ["ssh.service", "ssh.socket", "sshd.service", "sshd.socket"])
def test_the_way_in_is_never_a_unit_that_may_go(shell: list[str], tmp_path: Path, unit: str) -> None:
    """A unit that systemd knows no more was transient; but without ssh it is not the system that ran."""
    script = f"{join('lib/verify')}\ncd '{tmp_path}'\ndir=.\nsc() {{ case $1 in show) echo not-found ;; esac; }}\n"
    script += f"printf 'a.service\\n{unit}\\n' >active\ncp active missing\n: >only-new; : >changed; : >failed-now\n"
    assert said(shell, f"{script}mend_units\ncat active") == unit


@every_shell
def test_what_is_asked_of_systemd_holds_no_lock(shell: list[str], tmp_path: Path) -> None:
    """A systemctl that hangs outlives an undo that is killed, and the next undo needs the lock."""
    for name in ("systemctl", "loginctl", "nix-store"):
        (tmp_path / name).write_text("#!/bin/sh\n[ ! -e /proc/$$/fd/9 ] || echo $0 holds it >>held\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    script = f"{join('lib/verify')}\n{join('lib/whose')}\ncd '{tmp_path}'\nPATH='{tmp_path}':$PATH\ndir=.\n"
    script += "new_live=/new\necho systemd-logind.service >active\ntool() { :; }\nexec 9>lock\n"
    assert said(shell, f"{script}sc start a; wake_logind; may_have_made /x\ncat held 2>/dev/null || :") == ""


@every_shell
def test_log_has_a_reader_again(shell: list[str]) -> None:
    """A repair ends it with all that it had started; without one, a program that prints much waits for ever."""
    script = f"{join('lib/log')}\nread_log() {{ echo reads >&2; exec 7>&2; }}\n"
    assert said(shell, f"exec 2>&1\n{script}logged 5 echo prints").splitlines() == ["reads", "prints"]


@every_shell
@pytest.mark.parametrize(
    ("link", "known"),
    [("system-3-link", True), ("system-profiles/trial-1-link", True), ("system-profiles/trial", False), ("x", False)],
)
def test_generations_of_every_profile_are_written_by_the_loader(
    shell: list[str], tmp_path: Path, link: str, known: bool
) -> None:
    (tmp_path / "system-profiles").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / link).symlink_to(tmp_path / "new")
    (tmp_path / "system-1-link").symlink_to("/nowhere")
    script = f"{join('lib/commit')}\nprofile='{tmp_path}/system' new='{tmp_path}/new'\nis_generation && echo known"
    assert (said(shell, f"{script} || :") == "known") == known


@every_shell
@pytest.mark.parametrize("recorded", [True, False])
def test_a_deployment_is_marked_as_long_as_that_counts(shell: list[str], tmp_path: Path, recorded: bool) -> None:
    """A power cut may come between any two steps of the end: a repair without line and mark would go back.

    Where the line is written the mark goes first, since nobody would look for it any more.
    """
    script = f"{join('lib/record')}\ncd '{tmp_path}'\ndir=. var_dir=. roots=./roots id=1\n"
    script += """
look() { ls open.* 2>/dev/null | tr '\\n' ' '; echo; }
rm() { command rm "$@"; look; }
sync() { look; }
printf '{\\n"id": "1",\\n}\\n' >open.json; echo 1 >open.confirmed; echo 2 >open.last-resort
"""
    if recorded:
        line = '{"id": "1", "outcome": "committed", "started": "now"}'
        (tmp_path / "deployments.jsonl").write_text(f"{line}\n", encoding="utf-8")
    said_of_it = said(shell, f"{script}close committed").splitlines()
    looks = [line.split() for line in said_of_it if not line.startswith("deployment")]
    first, second = ("open.json", "open.confirmed") if recorded else ("open.confirmed", "open.json")
    assert [look for look in looks if second in look and first not in look] == []
    assert [look for look in looks if first in look and second not in look] != []
    # That of another deployment is for its own repair.
    assert looks[-1] == ["open.last-resort"]


@every_shell
def test_a_kill_before_any_command_of_the_end(shell: list[str], tmp_path: Path) -> None:
    """Of what runs until the next reboot: without its line it is undone, with it whoever comes next does the rest."""
    script = f"{join('lib/record')}\ncd '{tmp_path}'\nroots=./roots id=1\n"
    script += """
record() { echo '{"id": "1", "outcome": "until-reboot", "started": "now"}'; }
for name in rm mv cat sync truncate; do
    eval "$name() { turn=\\$((turn + 1)); [ \\$turn != \\$dies ] || exit 1; command $name \\"\\$@\\"; }"
done
what_is_left() { echo "$1 $(command cat $dir/state 2>/dev/null) $(cd $dir; ls open.* 2>/dev/null)"; }
dies=0
while :; do
    dies=$((dies + 1)) turn=0 dir=./$dies var_dir=./$dies
    mkdir $dies
    printf '{\\n"id": "1",\\n}\\n' >$dies/open.json
    (finish_by_its_line until-reboot) >/dev/null && break
    turn=-100
    outcome=$(recorded_outcome)
    [ -z "$outcome" ] || close "$outcome" >/dev/null
    what_is_left "${outcome:-none}"
done
what_is_left lived
"""
    ends = [line.split() for line in said(shell, script).splitlines()]
    assert {" ".join(end) for end in ends} == {"none open.json", "until-reboot until-reboot", "lived until-reboot"}
    assert len(ends) > 5


@pytest.mark.parametrize(
    ("faults", "ends"),
    [
        ("", "until-reboot, until-reboot"),
        # The disk is full, or the record does not fit.
        ("cat() { return 1; }", "gives up: cannot-record, no line"),
        ("record() { return 1; }; sleep() { :; }", "gives up: cannot-record, no line"),
        # The line is there, and what comes after it fails.
        ("mkdir recorded", "until-reboot, until-reboot"),
        ("loader_names() { return 1; }", "gives up: boot-loader, no line"),
        ("loader_names() { return 2; }", "until-reboot, until-reboot"),
    ],
    ids=["well", "full-disk", "no-record", "after-the-line", "boots-another", "boots-unknown"],
)
def test_what_runs_until_the_next_reboot_ends_by_its_line(tmp_path: Path, faults: str, ends: str) -> None:
    """Without it nothing has ended, and where the reboot would lead elsewhere neither."""
    script = f"{join('unit/deployment').rpartition('main ')[0]}\ncd '{tmp_path}'\ndir=. var_dir=. roots=./roots id=1\n"
    script += f"""
mode=test until_reboot=yes previous_boot=/old previous_live=/old
may_commit() {{ :; }}; still_healthy() {{ :; }}; note() {{ :; }}; loader_names() {{ :; }}
record() {{ echo '{{"id": "1", "outcome": "until-reboot", "started": "'"$boot_ran"'"}}'; }}
give_up() {{ echo "gives up: $1" >end; exit 1; }}
{faults}
(commit) >/dev/null 2>&1
unset -f cat
command cat end 2>/dev/null || command cat state
outcome=$(recorded_outcome)
echo ", ${{outcome:-no line}}"
[ -z "$outcome" ] || grep -q '"started": "yes"' deployments.jsonl || echo "not whether the boot default had run"
"""
    assert said(["dash"], script).replace("\n", "") == ends


@every_shell
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
def test_secrets_are_kept_while_the_marks_are_there(
    shell: list[str], tmp_path: Path, recorded: bool, keeps: bool
) -> None:
    """At a boot without them they would be put back; so where they cannot be kept, the marks stay for a repair."""
    script = f"{join('lib/record')}\ncd '{tmp_path}'\ndir=. var_dir=. roots=./roots id=1\n"
    script += f"""
change_of_secrets() {{ echo "$1: $(ls open.*)" | tr '\\n' ' '; {"" if keeps else "! "}true; }}
sync() {{ :; }}
printf '{{\n"id": "1",\n}}\n' >open.json; echo 1 >open.confirmed
close committed >said; cat said; ls open.* 2>/dev/null; cat state
"""
    if recorded:
        line = '{"id": "1", "outcome": "committed", "started": "now"}'
        (tmp_path / "deployments.jsonl").write_text(f"{line}\n", encoding="utf-8")
    first, *left = said(shell, script).splitlines()
    assert first.startswith("keep: open.confirmed open.json"), first
    assert left == ([] if keeps else ["open.confirmed", "open.json"]) + ["committed"]


@every_shell
@pytest.mark.parametrize("keeps", [True, False])
def test_no_deployment_begins_while_the_secrets_of_another_are_open(
    shell: list[str], tmp_path: Path, keeps: bool
) -> None:
    (tmp_path / "secrets.open").mkdir()
    (tmp_path / "open.json").write_text('{\n"id": "1",\n}\n', encoding="utf-8")
    script = f"""{join("lib/repair")}
cd '{tmp_path}'
dir=. var_dir=. roots=./roots id=2 open_id=1
open_log() {{ :; }}
note_links() {{ :; }}
note() {{ :; }}
sync() {{ :; }}
recorded_outcome() {{ echo committed; }}
change_of_secrets() {{ {"rmdir secrets.open" if keeps else "return 1"}; }}
repair_after_power_loss >said && echo begins || echo refused
"""
    assert said(shell, script) == ("begins" if keeps else "refused")


@every_shell
def test_marks_of_a_deployment_that_is_not_open_any_more_go(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "open.confirmed").write_text("1\n", encoding="utf-8")
    script = f"{join('lib/repair')}\ncd '{tmp_path}'\ndir=./x var_dir=. run_dir=. id=2\nrepair_others && ls"
    assert said(shell, script) == ""


@every_shell
def test_nothing_stays_of_one_that_was_ended_between_two_steps(shell: list[str], tmp_path: Path) -> None:
    """What names the deployment in progress was written, and had not got its name yet."""
    directory = tmp_path / "1"
    directory.mkdir()
    (directory / "state").write_text("refused\n")
    (directory / "recorded").touch()
    for name in ("current", "current.1", "current.2"):
        (tmp_path / name).write_text("2\n")
    script = (
        f"{join('lib/record')}\nrun_dir='{tmp_path}' dir=$run_dir/1 id=1 roots=$run_dir/roots generator=$run_dir/g\n"
    )
    said(shell, f"{script}remove_directory() {{ :; }}\nclean_up")
    # Another one's stay.
    assert sorted(file.name for file in tmp_path.iterdir()) == ["1", "current", "current.2"]


@every_shell
@pytest.mark.parametrize(("only_secrets", "left"), [("no", ["flake"]), ("yes", ["deployment-0-new", "flake"])])
def test_secrets_alone_let_go_of_no_system(
    shell: list[str], tmp_path: Path, only_secrets: str, left: list[str]
) -> None:
    """They have written neither profile nor boot loader, which may name one that a failed commit keeps."""
    directory, roots = tmp_path / "1", tmp_path / "roots"
    directory.mkdir()
    roots.mkdir()
    (roots / "deployment-0-new").symlink_to("/nix/store/x")
    (directory / "settings").touch()
    (directory / "state").write_text("committed\n")
    (directory / "recorded").touch()
    os.utime(directory / "settings", (time.time() + 60,) * 2)
    (roots / "flake").symlink_to("/nix/store/y")
    os.utime(roots / "flake", (time.time() + 120,) * 2, follow_symlinks=False)
    script = (
        f"{join('lib/record')}\nrun_dir='{tmp_path}' dir=$run_dir/1 id=1 roots=$run_dir/roots generator=$run_dir/g\n"
    )
    said(shell, f"{script}only_secrets={only_secrets} secrets_dir=/nowhere\nremove_directory() {{ :; }}\nclean_up")
    assert sorted(file.name for file in roots.iterdir()) == left


def said(shell: list[str], script: str) -> str:
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=60)
    return done.stdout.strip()
