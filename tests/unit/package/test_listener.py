# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command that hears what happens, and holds up nothing whatever it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.shell
PROGRAM = """
import sys, time, types
sys.path[:0] = {paths}
from unit.package.faking import deployed, shown, started, stats
from deploy_flake import cli, listener

def run(**given):
    tell = given["event_handler"]
    tell(started("web1", "flake_build"))
    while {endless} and not given["cancel_callback"]():
        time.sleep(0.05)
    for number in range({many}):
        tell(shown("web1: building " + str(number) + "x" * 1000))
    for event in [*deployed("web1"), stats("web1")]:
        tell(event)
    return types.SimpleNamespace(rc=0, config=types.SimpleNamespace(artifact_dir="/nowhere"))

sys.modules["ansible_runner"] = types.SimpleNamespace(run=run)
cli._TO_LEAVE = cli._TO_READ = 1
listener.Listener.end.__defaults__ = ({limit},)
sys.argv[1:] = ["nixos://web1/x", "--flake", "github:me/x", "--instrumentation", {shows!r}, "--on-event", {command!r}]
cli.run()
"""


def program(command: str, many: int = 0, endless: bool = False, limit: int = 1, shows: str = "json") -> list[str]:
    paths = [str(ROOT), str(ROOT / "tests")]
    text = PROGRAM.format(paths=paths, command=command, many=many, endless=endless, limit=limit, shows=shows)
    return [sys.executable, "-c", text]


def run(command: str, many: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program(command, many), capture_output=True, text=True, timeout=30, check=False)


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_it_hears_what_the_lines_say(tmp_path: Path) -> None:
    done = run(f"cat >{tmp_path}/heard; echo it says so")
    assert done.returncode == 0, done.stderr
    heard = events((tmp_path / "heard").read_text())
    assert heard == events(done.stdout)
    assert [one["event"] for one in heard][-2:] == ["result", "ended"]
    # What it prints is not among the lines.
    assert done.stderr == "it says so\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 3", "deploy-flake: --on-event: 'exit 3' ended with 3"),
        ("no-such-program", "deploy-flake: --on-event: 'no-such-program' ended with 127"),
        ("exec sleep 60", "deploy-flake: --on-event: 'exec sleep 60' had not ended 1 s after the run, and was told to"),
        ("head -n 1 >/dev/null", ""),
    ],
)
@pytest.mark.parametrize("many", [0, 500])
def test_what_becomes_of_it_changes_nothing(command: str, said: str, many: int) -> None:
    """Also with more lines than a pipe takes."""
    began = time.monotonic()
    done = run(command, many)
    assert done.returncode == 0, done.stderr
    assert events(done.stdout)[-1]["exit_code"] == 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 20


def test_it_hears_of_an_interrupt(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    process = subprocess.Popen(
        program(f"cat >{heard}", endless=True), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 20
    while not (heard.exists() and '"phase"' in heard.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    # As a terminal does it.
    os.killpg(process.pid, signal.SIGINT)
    _out, error = process.communicate(timeout=20)
    assert process.returncode == 130, error
    last = events(heard.read_text())[-1]
    assert (last["event"], last["exit_code"]) == ("ended", 130)


def test_one_limit_for_hearing_the_rest_and_for_the_end() -> None:
    began = time.monotonic()
    done = subprocess.run(program("exec sleep 60", many=500, limit=6), capture_output=True, timeout=30, check=False)
    assert (done.returncode, 6 < time.monotonic() - began < 11) == (0, True)


@pytest.mark.parametrize("many", [0, 500])
def test_people_do_not_wait_for_it_and_may_end_it(tmp_path: Path, many: int) -> None:
    command = f"echo $$ >{tmp_path}/pid; exec sleep 60"
    process = subprocess.Popen(
        program(command, many=many, limit=60, shows="plain"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    began = time.monotonic()
    while not process.stdout.readline().startswith("1 deployed in"):
        assert process.poll() is None
    assert time.monotonic() - began < 20
    # It waits for the command alone.
    time.sleep(0.5)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _out, error = process.communicate(timeout=20)
    assert process.returncode == 0, error
    assert error == f"deploy-flake: --on-event: {command!r} had not ended when you interrupted it, and was told to\n"
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
