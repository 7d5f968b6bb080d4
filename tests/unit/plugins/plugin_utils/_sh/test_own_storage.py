# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a deployment's directory may be used: nothing may be mounted over what already lies in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))

# What systemd-mount ends with, whether there is a mount then, and what systemd says of it when it was told to stop it.
CASES = {
    "mounted": (0, "yes", "ActiveState=active", "own"),
    "refused": (1, "no", "LoadState=not-found\\nActiveState=inactive", "plain"),
    "failed": (1, "no", "LoadState=loaded\\nActiveState=failed", "plain"),
    "late": (124, "no", "Job=17\\nLoadState=loaded\\nActiveState=inactive", "unknown"),
    "late-and-there": (124, "yes", "LoadState=loaded\\nActiveState=active", "unknown"),
    "being-mounted": (124, "no", "LoadState=loaded\\nActiveState=activating", "unknown"),
    "stopped-in-time": (124, "no", "Job=0\\nLoadState=not-found\\nActiveState=inactive", "plain"),
    "no-answer": (124, "no", "", "unknown"),
    "seen-by-units-alone": (0, "no", "LoadState=loaded\\nActiveState=active", "unknown"),
    "seen-by-units-alone-and-stopped": (0, "no", "LoadState=not-found\\nActiveState=inactive", "plain"),
}


@every_shell
@pytest.mark.parametrize("case", CASES)
def test_storage_is_there_or_never_comes(shell: list[str], tmp_path: Path, case: str) -> None:
    status, mounted, shown, expected = CASES[case]
    script = (
        f"{join('lib/own_storage')}\ntimeout() {{ return {status}; }}\nsc() {{ [ $1 != show ] || printf '{shown}'; }}\n"
    )
    script += f"is_mounted() {{ [ {mounted} = yes ]; }}\nmkdir '{tmp_path}/x'\n"
    script += f"if mount_own_storage '{tmp_path}/x'; then is_mounted && echo own || echo plain\n"
    assert said(shell, f"{script}else echo unknown; fi") == expected


@every_shell
def test_a_mount_is_another_file_system(shell: list[str], tmp_path: Path) -> None:
    script = f"{join('lib/own_storage')}\nis_mounted /proc || echo wrong\n"
    script += f"! is_mounted '{tmp_path}' && ! is_mounted /nowhere/x && ! is_mounted '{tmp_path}/x' && echo right"
    assert said(shell, script) == "right"


# The first run of the starter has made the directory, and is not done with its storage.
AGAIN = """
cd '{directory}'
dir=./x id=1 var_dir=. run_dir=. now=0
program=a settings=b about=c login_user=d allow=e runtime_limit=1 stop_limit=1 new=/new new_live=/new
mkdir x
own_directory() {{ :; }}
find_interpreter() {{ interpreter=/bin/sh; }}
refuse_system() {{ echo "$1"; exit; }}
mount_own_storage() {{ echo mounts; }}
never_comes() {{ :; }}
clock() {{ uptime=$now; }}
sleep() {{
    now=$((now + 10))
    {first}
}}
if make_directory; then [ -e x/settings ] && echo begins; else echo "nothing to begin"; fi
"""


@every_shell
@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ('[ "$now" -lt 50 ] || : >x/storage-is-settled', "begins"),
        ('[ "$now" -lt 50 ] || { : >x/storage-is-settled && : >x/state; }', "nothing to begin"),
        ('[ "$now" -lt 50 ] || { rm -rf x && echo \'{"id": "1"}\' >deployments.jsonl; }', "nothing to begin"),
        (":", "begins"),
        ("never_comes() { return 1; }", "no-unit"),
        ("is_mounted() { :; }", "begins"),
        # One that has taken the place of the first one has begun with what it has.
        ('[ "$now" -lt 50 ] || : >x/state', "nothing to begin"),
    ],
    ids=["settled", "begun", "ended", "dead", "dead-and-may-come", "dead-and-mounted", "taken-over"],
)
def test_nothing_is_written_before_the_storage_is_settled(
    shell: list[str], tmp_path: Path, first: str, expected: str
) -> None:
    functions = join("command/start").rpartition("\nmain ")[0]
    assert said(shell, f"{functions}\n{AGAIN.format(directory=tmp_path, first=first)}") == expected


# The guard as its directory and its cgroup show it.
GUARD = """
dir='{directory}' guard_unit=guard.service now=0
pause() {{
    now=$((now + 1))
    {then}
}}
{before}
if guard_runs; then echo runs; else echo "does not run"; fi
"""


@every_shell
@pytest.mark.parametrize(
    ("before", "then", "expected"),
    [
        ("says 17; has 17", ":", "runs"),
        (":", '[ "$now" -lt 5 ] || { says 17; has 17; }', "runs"),
        # One that was killed is started again.
        ("says 17; has", '[ "$now" -lt 5 ] || { says 18; has 18; }', "runs"),
        ("says 17; has", ":", "does not run"),
        ("has 17", ":", "does not run"),
        (":", ":", "does not run"),
    ],
    ids=["at-once", "soon", "again", "gone", "silent", "never"],
)
def test_guard_runs(shell: list[str], tmp_path: Path, before: str, then: str, expected: str) -> None:
    functions = join("unit/deployment").rpartition("\nmain ")[0].replace("/sys/fs/cgroup", f"{tmp_path}/cgroup")
    script = f"{functions}\ncgroup=/system.slice/deploy-flake.service\n"
    unit = tmp_path / "cgroup/system.slice/guard.service"
    unit.mkdir(parents=True)
    script += f"says() {{ echo $1 >'{tmp_path}/guard'; }}\nhas() {{ echo $1 >'{unit}/cgroup.procs'; }}\n"
    assert said(shell, script + GUARD.format(directory=tmp_path, before=before, then=then)) == expected


def said(shell: list[str], script: str) -> str:
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=60)
    return done.stdout.strip()
