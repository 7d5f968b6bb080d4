# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long the units of a system are watched that was just activated, in the shells that a host may have."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
every_shell = pytest.mark.parametrize("shell", [["dash"], ["busybox", "sh"], ["bash", "--posix"]], ids=lambda it: it[0])

START = 80_95
"""When the watch begins, in hundredths of a second since the boot."""


def service(state: str = "running", changed: float = 0, restarts: int = 0) -> str:
    """What systemd says of a service."""
    lines = ("Id=a.service", f"NRestarts={restarts}", "Result=success", f"SubState={state}")
    return "\n".join((*lines, f"StateChangeTimestampMonotonic={round((START / 100 + changed) * 1e6)}"))


WELL = service(changed=-9)


def watched(
    shell: Sequence[str],
    place: Path,
    *moments: tuple[float, str, int],
    limit: int = 3,
    early: bool = True,
    then: str = "",
) -> list[str]:
    """When the first look at the units is, and the last one, in hundredths after the beginning of the watch.

    `moments` are from when on systemd says what of services, and of how many jobs; `then` is what follows the watch.
    """
    script = f"settle_limit={limit} settles_early={'yes' if early else 'no'} dir={place} newline='\n'\n"
    script += f"{join('lib/health')}\n{join('lib/watch_units')}\nnow_is={START}\nhundredths() {{ now=$now_is; }}\n"
    script += f"monotonic() {{ counted={START // 100}; }}\ncomplain() {{ return 1; }}\n"
    # Every look takes a moment.
    script += "ask_systemd() {\nnow_is=$((now_is + 1))\n"
    for begins, services, jobs in moments:
        script += f"[ $now_is -lt {round(START + begins * 100)} ] || {{ services='{services}'; jobs={jobs}; }}\n"
    script += "case $* in *NJobs) told=NJobs=$jobs ;; *) told=$services ;; esac\n}\n"
    script += """pause() {
        case $1 in *.*) part=${1#*.} && part=1$part ;; *) part=100 ;; esac
        now_is=$((now_is + ${1%.*} * 100 + part - 100))
    }\n"""
    script += f"ask_systemd show; now_is={START}\n"
    script += f"watch_units; echo $((now_is - {START})); watched_long_enough; echo $((now_is - {START}))\n{then}"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert not done.stderr, done.stderr
    return done.stdout.split()


@every_shell
@pytest.mark.parametrize("state", ["running", "exited", "dead", "failed"])
def test_units_that_are_quiet_are_watched_for_a_second(shell: list[str], tmp_path: Path, state: str) -> None:
    """The last look is when two are over. One that has failed is nothing to wait for: the first look finds it."""
    assert watched(shell, tmp_path, (-1, service(state, -0.1), 0)) == ["102", "200"]


@every_shell
@pytest.mark.parametrize(
    "later", [service(changed=0.4), service("dead", 0.4), service(changed=-9, restarts=1), f"{WELL}\n\n{service()}"]
)
def test_one_that_changes_is_watched_for_a_second_from_then_on(shell: list[str], tmp_path: Path, later: str) -> None:
    assert watched(shell, tmp_path, (-1, WELL, 0), (0.4, later, 0)) == ["204", "204"]


@every_shell
@pytest.mark.parametrize("state", ["start", "start-pre", "reload", "stop-sigterm", "auto-restart", "final-sigkill"])
def test_one_that_is_on_its_way_is_waited_for(shell: list[str], tmp_path: Path, state: str) -> None:
    """No longer than the limit."""
    assert watched(shell, tmp_path, (-1, service(state, -5), 0)) == ["306", "306"]
    assert watched(shell, tmp_path, (-1, service(state, -5), 0), (0.9, WELL, 0)) == ["204", "204"]


@every_shell
def test_job_that_waits_is_waited_for(shell: list[str], tmp_path: Path) -> None:
    """And a second more: nothing was looked at meanwhile."""
    assert watched(shell, tmp_path, (-1, WELL, 1)) == ["303", "303"]
    assert watched(shell, tmp_path, (-1, WELL, 1), (0.2, WELL, 0)) == ["102", "200"]
    assert watched(shell, tmp_path, (-1, WELL, 1), (1.5, WELL, 0)) == ["305", "305"]


@every_shell
@pytest.mark.parametrize(("limit", "expected"), [(0, ["0", "0"]), (1, ["100", "100"]), (5, ["500", "500"])])
def test_time_that_is_given_is_meant(shell: list[str], tmp_path: Path, limit: int, expected: list[str]) -> None:
    assert watched(shell, tmp_path, (-1, service("start"), 1), limit=limit, early=False) == expected


@every_shell
@pytest.mark.parametrize(
    ("state", "limit", "early", "asked"),
    [
        pytest.param("running", 3, True, 1, id="quiet"),
        pytest.param("start", 3, True, 2, id="not quiet"),
        pytest.param("running", 0, False, 1, id="no time"),
        pytest.param("running", 1, False, 2, id="a time that is given"),
    ],
)
def test_what_was_just_noted_is_not_asked_for_again(
    shell: list[str], tmp_path: Path, state: str, limit: int, early: bool, asked: int
) -> None:
    """By the look that follows the watch; the one before the commit asks anew."""
    for name in ("restarts-before", "restarts"):
        (tmp_path / name).touch()
    then = "policy=strict\nfailed_units() { :; }\nnot_forgiven() { cat; }\n"
    then += 'note_restarts() { echo asked; : >"$1"; }\nhealthy && healthy && echo well\n'
    said = watched(shell, tmp_path, (-1, service(state, -5), 0), limit=limit, early=early, then=then)
    assert said[2:] == [*["asked"] * asked, "well"]


@every_shell
@pytest.mark.parametrize("kind", ["", "system-manager"])
def test_commit_looks_when_they_were_watched_long_enough(shell: list[str], kind: str) -> None:
    script = f"{join('unit/deployment', kind).rpartition('main ')[0]}\nmode=test\nmay_commit() {{ :; }}\n"
    script += "watched_long_enough() { echo watched; }\nstill_healthy() { echo looked; return 1; }\n"
    script += "give_up() { echo gave up; exit; }\ncommit\n"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert done.stdout.splitlines() == ["watched", "looked", "gave up"]


@every_shell
def test_hundredths_are_those_of_the_kernel(shell: list[str]) -> None:
    def kernels() -> int:
        return int(Path("/proc/uptime").read_text().split()[0].replace(".", ""))

    script = f"{join('lib/watch_units')}\nhundredths\necho $now\n"
    before = kernels()
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert before <= int(done.stdout) <= kernels()
