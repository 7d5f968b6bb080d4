# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as a user has it: the wheel, installed in an environment of its own, far from any checkout."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
from integration.playing import LIMITS

from lab import Host

ROOT = Path(__file__).parents[2]
# What a user may have set for Ansible; none of it may change what a deploy does.
HOSTILE = {
    "ANSIBLE_RUN_TAGS": "nothing",
    "ANSIBLE_STDOUT_CALLBACK": "no.such.callback",
    "ANSIBLE_STRATEGY": "free",
    "ANSIBLE_NO_LOG": "True",
    "ANSIBLE_VERBOSITY": "2",
    "ANSIBLE_FORCE_COLOR": "True",
    "ANSIBLE_ENABLE_TASK_DEBUGGER": "True",
    "ANSIBLE_ASK_PASS": "True",
    "ANSIBLE_ASK_VAULT_PASS": "True",
}
# And another collection of our name, where Ansible looks first.
OTHER = Path(".ansible", "collections", "ansible_collections", "deploy_flake", "nixos")


@dataclass
class Command:
    """An installed deploy-flake."""

    program: Path
    directory: Path
    """Where it is run; its home too."""

    @classmethod
    def install(cls, directory: Path) -> Command:
        """Build the wheel and install it."""
        wheels, venv, home = directory / "wheels", directory / "venv", directory / "home"
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(wheels)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        (wheel,) = wheels.glob("*.whl")
        subprocess.run([str(venv / "bin/pip"), "install", "--quiet", str(wheel)], check=True)
        for playbook in ("deploy", "deploy_by_hostname", "status", "rollback", "revoke"):
            other = home / OTHER / "playbooks" / f"{playbook}.yml"
            other.parent.mkdir(parents=True, exist_ok=True)
            other.write_text("[{hosts: all, tasks: [{fail: {msg: another collection}}]}]", encoding="utf-8")
        return cls(venv / "bin/deploy-flake", home)

    def environment(self) -> dict[str, str]:
        """Nothing of the test's own but the locale; the venv is not on the PATH, as with pipx."""
        kept = {name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL", "TMPDIR")}
        return {**kept, **HOSTILE, "HOME": str(self.directory), "PATH": "/usr/bin:/bin", "TERM": "xterm"}

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start it with its output in a pipe, and with further variables in its environment."""
        return subprocess.Popen(
            [str(self.program), *arguments],
            cwd=self.directory,
            env={**self.environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run it to its end."""
        process = self.start(*arguments, environment=environment)
        output, _nothing = process.communicate(timeout=300)
        return process.returncode, output

    def json(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        """Run it to its end and read its lines."""
        code, output = self.run(*arguments, "--instrumentation", "json")
        return code, [json.loads(line) for line in output.splitlines()]

    def at_terminal(
        self, *arguments: str, width: int = 80, height: int = 24, environment: Mapping[str, str] | None = None
    ) -> pexpect.spawn:
        """Run it on a pseudo-terminal, with further variables in its environment."""
        return pexpect.spawn(
            str(self.program),
            list(arguments),
            cwd=str(self.directory),
            env={**self.environment(), **(environment or {})},
            dimensions=(height, width),
            timeout=240,
            encoding="utf-8",
        )


def destination(host: Host, configuration: str | None = None) -> str:
    """A host of the lab as it is written on the command line."""
    return f"nixos://{host.user}@{host.address}:{host.port}/{configuration or ''}"


def reaching(hosts: Sequence[Host]) -> list[str]:
    """How ssh finds the keys of the lab, and limits for tests."""
    key = hosts[0].state.keys / "login"
    return [f"--ssh-args=-i {key} {shlex.join(hosts[0].ssh_options())} -o ConnectTimeout=5"]


def limits() -> list[str]:
    """Time limits for a deploy of a test."""
    return [word for name, value in LIMITS.items() for word in ("--time-limit", f"{name}={value}")]


def results(lines: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The results by their hosts."""
    return {line["host"]: line for line in lines if line["event"] == "result"}
