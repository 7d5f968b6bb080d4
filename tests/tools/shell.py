# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs, and saying so."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
# For Python: nothing beside the sources, and nothing compiled twice.
COMPILED_ONCE = {"PYTHONPYCACHEPREFIX": str(BUILD / "pycache"), "PYTHONDONTWRITEBYTECODE": ""}
_TO_TIDY_UP = 60.0
"""Seconds that a command has to end after Ctrl-C."""


def forget_git() -> None:
    """Forget the repository that git's hooks name in the environment: every git that is run here has one of its own."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"):
        os.environ.pop(name, None)


class Failed(Exception):
    """Something that ends the run with a message instead of a traceback."""


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> bool:
    """Run a command with its output shown (or, when quiet, shown only if it fails); tell whether it succeeded."""
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
    ) as process:
        try:
            said, _nothing = process.communicate()
        except KeyboardInterrupt:
            # It was interrupted as well, and puts back what it has changed.
            with suppress(subprocess.TimeoutExpired):
                process.wait(_TO_TIDY_UP)
            process.kill()
            raise
    if process.returncode and quiet:
        print(said, end="", flush=True)
    return process.returncode == 0


class Background:
    """A command that runs while others do, with its output in a file; it ends with the block that it is begun in."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )

    def follow(self) -> bool:
        """Show what it has said and still says, until it ends; tell whether it succeeded."""
        with self.log.open("rb") as file:
            while True:
                ended = self.process.poll() is not None
                sys.stdout.buffer.write(file.read())
                sys.stdout.buffer.flush()
                if ended:
                    return self.process.returncode == 0
                time.sleep(0.5)

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *_error: object) -> None:
        # As Ctrl-C does, so that pytest stops its lab.
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()


def must(command: Sequence[str | Path], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
    """Run a command that has to succeed, and show its output only if it does not."""
    if not run(command, cwd=cwd, env=env, quiet=True):
        raise Failed(f"This failed: {shlex.join(str(part) for part in command)}")


def output(command: Sequence[str | Path], *, cwd: Path = ROOT) -> str:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=True, text=True
    ).stdout


def need_programs(packages: Mapping[str, str]) -> None:
    """Install the Debian package of every program that is missing."""
    missing = sorted({package for program, package in packages.items() if not shutil.which(program)})
    if missing:
        install_packages(missing)


def install_packages(packages: Sequence[str]) -> None:
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise Failed(f"Install these first: {' '.join(packages)} (as root on Debian it is done for you).")
    say(f"installing {' '.join(packages)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "--option=DPkg::Lock::Timeout=300", *packages]
    if not run(install, env=env, quiet=True):
        say("trying again with new lists of packages")
        must(["apt-get", "update"])
        must(install, env=env)
