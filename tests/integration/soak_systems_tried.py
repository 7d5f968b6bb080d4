# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What some systems of the randomised test need: somebody who tells a unit to fail, or tidies up afterwards."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from integration.soak_scene import Scene, state
from integration.soak_systems import System

from lab.shell import LabError

# For so long a check from outside takes, and so the window is open.
PAUSE = 4
CHECKS = f"""
- name: Look for a while
  ansible.builtin.wait_for: {{timeout: {PAUSE}}}
  delegate_to: localhost
  vars: {{ansible_connection: local, ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"}}
"""
# What one that fills /run may have of it.
_ROOM = "64M"


@contextmanager
def during(system: System, scene: Scene) -> Iterator[None]:
    """While the deployment is in progress, and the fault with it."""
    if system.fills_run:
        # All that there is would be a fifth of this machine's memory.
        _run(scene, f"mount -o remount,size={_ROOM} /run")
    ended = threading.Event()
    teller = threading.Thread(
        target=_tell_to_fail, args=(scene, ended, scene.random.uniform(0, PAUSE - 1)), daemon=True
    )
    if system.fails_when_told:
        teller.start()
    try:
        yield
        # Else it would have failed for nobody.
        while system.fails_when_told and not scene.over and teller.is_alive():
            time.sleep(0.1)
    finally:
        ended.set()


def _tell_to_fail(scene: Scene, ended: threading.Event, delay: float) -> None:
    while state(scene.host.leader) != "window":
        if scene.over or ended.wait(0.05):
            return
    ended.wait(delay)
    if state(scene.host.leader) == "window":
        _run(scene, "touch /run/fail")


def tidy_up(system: System, scene: Scene) -> None:
    """When it is over."""
    if system.fills_run:
        _run(scene, "rm -f /run/filler; mount -o remount,size=20% /run")
    if system.fails_when_told:
        _run(scene, "rm -f /run/fail")


def _run(scene: Scene, script: str) -> None:
    """On a host that may have gone down."""
    with contextlib.suppress(LabError, subprocess.TimeoutExpired):
        scene.run(script, limit=30)
