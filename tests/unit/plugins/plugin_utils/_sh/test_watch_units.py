# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long the units of a system are watched that was just activated, in the shells that a host may have."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
every_shell = pytest.mark.parametrize("shell", [["dash"], ["busybox", "sh"], ["bash", "--posix"]], ids=lambda it: it[0])

START = 80_00
"""When the watch begins, in hundredths of a second since the boot."""
WELL = "SubState=running\nStateChangeTimestampMonotonic=5123456\n\nSubState=dead\nStateChangeTimestampMonotonic=0"


def changed(after: float, state: str = "running") -> str:
    """What systemd says where one more service has changed, that many seconds after the watch began."""
    return f"{WELL}\n\nSubState={state}\nStateChangeTimestampMonotonic={round((START / 100 + after) * 1e6)}"


def watched(shell: Sequence[str], said: str, *, limit: int = 3, early: bool = True, jobs: str = "0") -> list[str]:
    """When the first look at the units is, and the last one, in hundredths after the beginning of the watch."""
    script = f"settle_limit={limit} settles_early={'yes' if early else 'no'} newline='\n'\n{join('lib/watch_units')}\n"
    script += f"now_is={START}\nhundredths() {{ now=$now_is; }}\n"
    # Every look takes a moment.
    script += (
        f"ask_systemd() {{ now_is=$((now_is + 2)); case $* in *NJobs) told=NJobs={jobs};; *) told='{said}'; esac; }}\n"
    )
    script += """pause() {
        case $1 in *.*) part=${1#*.} && part=${part}0 && part=1${part%"${part#??}"} ;; *) part=100 ;; esac
        now_is=$((now_is + ${1%.*} * 100 + part - 100))
    }\n"""
    script += f"watch_units; echo $((now_is - {START})); watched_long_enough; echo $((now_is - {START}))\n"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert not done.stderr, done.stderr
    return done.stdout.split()


@every_shell
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # Nothing has changed since.
        (WELL, ["104", "200"]),
        (changed(-0.5), ["104", "200"]),
        (changed(0.02, "exited"), ["104", "200"]),
        # One that failed long ago is nothing to wait for; the looks will say it.
        (changed(-30, "failed"), ["104", "200"]),
        # Not yet for a second.
        (changed(0.4), ["162", "200"]),
        (changed(1.2), ["220", "220"]),
        # Never within the time.
        (changed(2.5), ["307", "307"]),
        (changed(-9, "start"), ["307", "307"]),
        (changed(-9, "reload"), ["307", "307"]),
        (changed(-9, "auto-restart"), ["307", "307"]),
        (changed(-9, "stop-sigterm"), ["307", "307"]),
    ],
)
def test_until_units_are_quiet(shell: list[str], said: str, expected: list[str]) -> None:
    assert watched(shell, said) == expected


@every_shell
def test_job_that_waits_is_waited_for(shell: list[str]) -> None:
    assert watched(shell, WELL, jobs="1")[0] == "318"


@every_shell
@pytest.mark.parametrize(("limit", "expected"), [(0, ["0", "0"]), (1, ["100", "100"]), (5, ["500", "500"])])
def test_time_that_is_given_is_meant(shell: list[str], limit: int, expected: list[str]) -> None:
    assert watched(shell, changed(-9, "start"), limit=limit, early=False) == expected
