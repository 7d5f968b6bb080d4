# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on several hosts at once, of which some may hang."""

from __future__ import annotations

import subprocess
import sys
from contextvars import ContextVar
from pathlib import Path
from threading import Barrier, Event, Lock

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.connection import TimeUpError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.together import Together


def test_each_has_its_own_end() -> None:
    failed, of_task = HostError("no"), ContextVar("of_task", default="")
    of_task.set("this")

    def fails() -> str:
        raise failed

    with Together(2) as together:
        for _again in range(3):
            results = together.run(10, {"a": fails, "b": of_task.get, "c": lambda: "done"})
            assert results == {"a": failed, "b": "this", "c": "done"}


def test_no_more_at_once_than_there_may_be() -> None:
    at_work, most, lock = 0, 0, Lock()

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        Event().wait(0.02)
        with lock:
            at_work -= 1

    with Together(3) as together:
        together.run(10, dict.fromkeys(range(12), work))
    assert most == 3
    # And as many as there may be.
    barrier = Barrier(3)
    with Together(3) as together:
        assert together.run(10, dict.fromkeys(range(3), lambda: barrier.wait(5) >= 0)) == dict.fromkeys(range(3), True)


def test_what_hangs_is_late_and_nobody_waits_for_it() -> None:
    with Together(1) as together:
        results = together.run(0.2, {"hangs": Event().wait, "waits": lambda: True})
    assert {type(result) for result in results.values()} == {TimeUpError}


def test_the_process_ends_while_something_hangs(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from threading import Event\n"
        f"from {Together.__module__} import Together\n"
        "with Together(2) as together:\n"
        "    together.run(0.2, {'hangs': Event().wait})\n"
        "print('ended')\n"
    )
    roots = [str(Path(each).resolve()) for each in sys.path if each]
    env = {"PYTHONPATH": ":".join(roots)}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=env, check=False)
    assert done.stdout == "ended\n", done.stderr


def test_an_error_of_ours_is_its_own_alone() -> None:
    with Together(1) as together:
        results = together.run(10, {"a": lambda: 1 // 0, "b": lambda: 1})
    assert (type(results["a"]), results["b"]) == (ZeroDivisionError, 1)
