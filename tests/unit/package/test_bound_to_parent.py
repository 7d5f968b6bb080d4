# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing goes on when the process that wanted it was killed: no program, and nothing that it has started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy_flake import ansible, bound_to_parent

STARTER = [sys.executable, "-I", "-S", bound_to_parent.__file__]
# Says that it runs, and has a child in a session of its own, as Ansible's workers are. Both leave a mark.
PARENT = """
import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", {worker!r}], start_new_session=True)
print("runs", flush=True)
{then}
"""
SLEEPS = "import time\ntime.sleep(60)"
IGNORES = "import signal\nfor one in (signal.SIGINT, signal.SIGTERM): signal.signal(one, signal.SIG_IGN)\n"
DEAF = IGNORES + SLEEPS
# By itself, as soon as the parent is gone.
ENDS = "while not os.path.exists(os.environ['BOUND_TO_PARENT_TEST'] + '/gone'): time.sleep(0.05)"


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What all processes of a test have in their environment, whose child they are by now or not."""
    monkeypatch.setenv("BOUND_TO_PARENT_TEST", str(tmp_path))
    yield f"BOUND_TO_PARENT_TEST={tmp_path}"
    for pid in marked(f"BOUND_TO_PARENT_TEST={tmp_path}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def marked(mark: str) -> list[int]:
    """Those that live."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{mark}\0".encode() in environ.read_bytes() and int(environ.parent.name) != os.getpid():
                found.append(int(environ.parent.name))
    return found


def command_line(pid: int) -> bytes:
    """What it was started with; nothing where it has ended meanwhile."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def gone_within(mark: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while marked(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def run(*command: str, parent: int | None = None) -> subprocess.CompletedProcess[str]:
    bound = [*STARTER, str(os.getpid() if parent is None else parent), "", *command]
    return subprocess.run(bound, capture_output=True, text=True, timeout=30, check=False)


def test_program_ends_as_it_ends() -> None:
    said = run("sh", "-c", "cat; echo out; echo err >&2; exit 7")
    assert (said.returncode, said.stdout, said.stderr) == (7, "out\n", "err\n")
    assert run("sh", "-c", "kill -KILL $$").returncode == -signal.SIGKILL
    assert run("sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM
    missing = run("/nowhere/program")
    assert (missing.returncode, missing.stderr) == (127, "/nowhere/program: No such file or directory\n")


@pytest.mark.usefixtures("mark")
def test_what_it_leaves_behind_is_not_waited_for() -> None:
    """ssh's shared connections outlive ansible-playbook."""
    began = time.monotonic()
    assert run("sh", "-c", "sleep 60 >/dev/null 2>&1 & exit 3").returncode == 3
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("worker", [SLEEPS, DEAF], ids=["worker", "deaf-worker"])
@pytest.mark.parametrize("then", [SLEEPS, DEAF, ENDS], ids=["waits", "is-deaf", "ends"])
def test_nothing_is_left_when_the_parent_is_killed(tmp_path: Path, mark: str, worker: str, then: str) -> None:
    """Whether the program obeys or not, and also where it is gone before its worker is."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/password").touch()
    program = PARENT.format(worker=worker, then=then)
    script = (
        "import os, subprocess, sys, time\n"
        f"given = [str(os.getpid()), {str(tmp_path / 'secrets')!r}, sys.executable, '-c', {program!r}]\n"
        f"subprocess.Popen({STARTER!r} + given, start_new_session=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "runs\n"
    deadline = time.monotonic() + 30
    # One that is being executed has no environment for a moment.
    while len(marked(mark)) != 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    (tmp_path / "gone").touch()
    assert gone_within(mark, 30), marked(mark)
    assert not (tmp_path / "secrets").exists()


def test_parent_may_be_gone_before_it_has_begun() -> None:
    """Then it is somebody else's child from the first."""
    # Whoever runs the tests in the background may have them ignore it.
    assert run("env", "--default-signal=INT", "sleep", "60", parent=1).returncode == -signal.SIGINT


def test_connections_that_others_share_are_left_alone(mark: str) -> None:
    """ssh's masters end by themselves."""
    master = subprocess.Popen(["bash", "-c", "exec -a 'ssh: /tmp/cp/x [mux]' sleep 60"])
    other = subprocess.Popen(["sleep", "60"])
    try:
        deadline = time.monotonic() + 5
        while not bound_to_parent.is_shared(master.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        # As sleep has them, its arguments come behind the name.
        assert not bound_to_parent.is_shared(other.pid)
    finally:
        for one in (master, other):
            one.kill()
            one.wait()


COMMAND = """
import sys
from pathlib import Path
from typing import Any
import deploy_flake.ansible
from deploy_flake import RunOptions, deploy
deploy_flake.ansible.our_collections = lambda private: Path({collections!r})
options = RunOptions(inventory=["web1,web2,"], variables={variables!r})
deploy(run=options, on_event=lambda event: print(event, flush=True))
"""
ACTION = """
import subprocess
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        Display().display(task_vars["inventory_hostname"] + ": works")
        subprocess.run(["sleep", "300"])
        return {{}}
"""


@pytest.mark.parametrize("background", [False, True], ids=["", "in-the-background"])
@pytest.mark.parametrize("killed", ["command", "starter", "both", "ansible", "starter-and-ansible"])
def test_ansible_playbook_ends_with_the_command(
    tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch, killed: str, background: bool
) -> None:
    """The real one, whose workers have sessions of their own and wait for programs that they have started.

    Also where what binds it to the command is killed, by whoever kills what takes memory, or ansible-playbook itself,
    which then tells its workers nothing; and where all of them ignore Ctrl-C, as what a shell has started in the
    background does.
    """
    root = tmp_path / "ansible_collections/deploy_flake/nixos"
    tasks: list[Any] = [{"deploy_flake.nixos.flake_deploy": {}}]
    for name, text in {
        "plugins/action/flake_deploy.py": ACTION.replace("{{}}", "{}"),
        "plugins/modules/flake_deploy.py": "",
        "playbooks/deploy.yml": json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(ansible.__file__).parents[1]))
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    script = COMMAND.format(collections=str(tmp_path), variables=variables)
    ignoring = ["env", "--ignore-signal=INT", "--ignore-signal=QUIT"] if background else []
    python = [*ignoring, sys.executable, "-c", script]
    command = subprocess.Popen(python, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert command.stdout is not None
    works = 0
    while works < 2:
        line = command.stdout.readline()
        assert line, "it ended"
        works += "text='works'" in line
    deadline = time.monotonic() + 30
    while sum(command_line(pid).startswith(b"sleep\0") for pid in marked(mark)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list(tmp_path.glob("deploy-flake-*/deploy-variables.json"))
    starters = [pid for pid in marked(mark) if b"bound_to_parent.py" in command_line(pid)]
    assert len(starters) == 1
    (main,) = Path(f"/proc/{starters[0]}/task/{starters[0]}/children").read_text().split()
    victims = {"command": [command.pid], "starter": starters, "ansible": [int(main)]}
    victims |= {"both": [command.pid, *starters], "starter-and-ansible": [*starters, int(main)]}
    for pid in victims[killed]:
        os.kill(pid, signal.SIGKILL)
    command.stdout.read()
    command.wait()
    if killed == "both":
        # Nobody is left to look after Ansible's workers; Ansible itself may miss one of them.
        deadline = time.monotonic() + 30
        while int(main) in marked(mark):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    else:
        assert gone_within(mark, 30), [command_line(pid) for pid in marked(mark)]
    # Nor is what it was given left on the disk, where somebody could remove it.
    assert killed == "both" or list(tmp_path.glob("deploy-flake-*")) == []


def test_it_is_started_by_this_interpreter() -> None:
    python, *words = ansible.bound_playbook_program(None)
    assert (python, words[:3], words[3:5]) == (sys.executable, STARTER[1:], [str(os.getpid()), ""])
    program = ansible.playbook_program()
    assert program.endswith("/ansible-playbook")
    assert words[5:] in ([program], [sys.executable, "-P", "-c", ansible._START, program])
