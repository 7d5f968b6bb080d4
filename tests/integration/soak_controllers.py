# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controllers of the randomised test, in the background: the collection's playbooks, and the command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from integration.faulting import Deploying
from integration.soak_truth import Report, of_command, of_playbook

from lab import Host, Lab

ROOT = Path(__file__).parents[2]


class Controller(Deploying):
    """One in a process group of its own; what it says goes into a file."""

    def __init__(self, host: Host, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.host = host
        self.kind = self.version = ""
        self.directory = Path(tempfile.mkdtemp(prefix="df-"))
        self.said = self.directory / "output"
        self.is_command = "deploy_flake" in command
        with self.said.open("w") as output:
            self.process = subprocess.Popen(
                command,
                # No connection is shared with another one's, and what belongs to it can be told by this.
                env={**os.environ, **environment, "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.directory)},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    @property
    def reports(self) -> list[Report]:
        """What it has said of hosts so far."""
        return of_command(self.output) if self.is_command else of_playbook(self.output)

    def tell(self, number: signal.Signals) -> None:
        """Send the main process alone a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    @property
    def playbooks(self) -> list[int]:
        """The processes of ansible-playbook that belong to it."""
        mark = f"ANSIBLE_SSH_CONTROL_PATH_DIR={self.directory}\0".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (
                    b"ansible-playbook\0" in (process / "cmdline").read_bytes()
                    and mark in (process / "environ").read_bytes()
                ):
                    found.append(int(process.name))
        return found


def playbook(lab: Lab, host: Host, name: str, *options: str, hosts: str = "", **variables: Any) -> Controller:
    """A playbook of the collection on a host, or on the hosts of a pattern."""
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    given = ["-i", str(lab.inventory), "-l", hosts or host.name, "-e", json.dumps(variables), *options]
    # With one more level the results are printed, each on a line.
    environment = {"ANSIBLE_HOST_KEY_CHECKING": "True", "ANSIBLE_VERBOSITY": "1", "ANSIBLE_NOCOLOR": "1"}
    return Controller(host, [program, *given, f"deploy_flake.nixos.{name}"], environment)


def command(lab: Lab, host: Host, *options: str, **variables: Any) -> Controller:
    """The command, from the checkout, which its tests run from its wheel."""
    given = ["deploy", "--inventory", str(lab.inventory), "--limit", host.name, "--yes", "--instrumentation", "json"]
    given += ["--flake", variables.pop("deploy_flake_flake"), "-e", json.dumps(variables)]
    environment = {"ANSIBLE_HOST_KEY_CHECKING": "True", "PYTHONPATH": str(ROOT)}
    return Controller(host, [sys.executable, "-m", "deploy_flake", *given, *options], environment)
