# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ends, whatever becomes of its output, its files and its input; and signals end it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.shell
PROGRAM = """
import sys, time, types
sys.path[:0] = {paths}
from unit.package.faking import deployed, shown, started, stats
from deploy_flake import cli

def run(**given):
    tell = given["event_handler"]
    tell(started("web1", "flake_build"))
    while {endless} and not given["cancel_callback"]():
        tell(shown("web1: building " + "x" * 1000))
    for number in range({many}):
        tell(shown("web1: building " + str(number) + "x" * 1000))
    for event in [*deployed("web1"), stats("web1")]:
        tell(event)
    open({mark!r}, "w").close()
    return types.SimpleNamespace(rc=0, config=types.SimpleNamespace(artifact_dir="/nowhere"))

sys.modules["ansible_runner"] = types.SimpleNamespace(run=run)
cli._TO_LEAVE = cli._TO_READ = 0.5
cli._UNREAD = 100
sys.argv[1:] = ["nixos://web1/x", "--flake", "github:me/x", "--instrumentation", {how!r}]
cli.run()
"""


def program(endless: bool = False, how: str = "plain", many: int = 0, mark: str | Path = os.devnull) -> list[str]:
    paths = [str(ROOT), str(ROOT / "tests")]
    return [sys.executable, "-c", PROGRAM.format(paths=paths, endless=endless, how=how, many=many, mark=str(mark))]


@pytest.mark.parametrize("how", ["plain", "json"])
@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM] * 2, [signal.SIGHUP] * 3])
def test_signals_end_it_though_nobody_reads_its_output(numbers: list[signal.Signals], how: str) -> None:
    process = subprocess.Popen(program(endless=True, how=how), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        # Its pipe is full by then: nothing moves any more.
        while not (_waits_to_write(process.pid) and _listens(process.pid)):
            time.sleep(0.1)
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.3)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.wait()


def _waits_to_write(pid: int) -> bool:
    """Whether one of its threads waits for somebody to read."""
    tasks = Path(f"/proc/{pid}/task")
    return any(_is_in_pipe(task) or _is_in_write(task) for task in tasks.iterdir())


def _is_in_pipe(task: Path) -> bool:
    try:
        return "pipe_w" in (task / "wchan").read_text()
    except OSError:
        return False


def _listens(pid: int) -> bool:
    """Whether it has a handler for SIGTERM by now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) & 1 << (signal.SIGTERM - 1))


def _is_in_write(task: Path) -> bool:
    try:
        return (task / "syscall").read_text().startswith(("1 0x1 ", "64 0x1 "))
    except OSError:
        return False


@pytest.mark.parametrize("how", ["plain", "json"])
def test_hosts_do_not_wait_for_somebody_to_read(tmp_path: Path, how: str) -> None:
    """What has filled a pipe holds up no run; once it is read on, all is there but for progress that was too much."""
    done = tmp_path / "done"
    process = subprocess.Popen(
        program(many=300, how=how, mark=done), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        deadline = time.monotonic() + 60
        while not (done.exists() and _waits_to_write(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert done.exists()
        assert _waits_to_write(process.pid)
        said = process.stdout.read()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    # Of the hundred that may wait some are other lines, and where nothing was written before they are all there is.
    assert 90 <= said.count("x" * 1000) < 300
    assert ("1 deployed in" if how == "plain" else '"event": "ended"') in said, said[-500:]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full"])
def test_closed_streams_and_a_full_disk(closed: str) -> None:
    """The hosts do not feel it."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *program()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stdout
    assert done.returncode == 0


def test_nohup_is_respected() -> None:
    quiet = program(endless=True)
    command = ["sh", "-c", 'trap "" HUP; exec "$@" >/dev/null', "sh", *quiet]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _listens(process.pid):
            time.sleep(0.1)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.wait()
