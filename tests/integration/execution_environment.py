# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment of the examples, as ansible-builder would have an engine make it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from integration.containerfile import Bind, Builder, Image

from lab import Host, mounts
from lab.shell import LabError, say
from lab.state import State
from tools import environments
from tools.shell import BUILD, ROOT

DEFINITION = ROOT / "examples/execution-environment.yml"
# As OpenShift chooses them: nobody knows the user, and the group is root's.
SOMEBODY = "1000650000:0"
_DEBIAN = ["mmdebstrap", "--mode=root", "--variant=minbase", "trixie"]


@dataclass(frozen=True)
class ExecutionEnvironment:
    """What starts programs in it, each in a container of its own."""

    image: Image
    place: Path

    def run(
        self,
        *command: str,
        binds: Sequence[Bind] = (),
        environment: Mapping[str, str] | None = None,
        user: str = SOMEBODY,
        entrypoint: bool = True,
        stdin: Path | None = None,
        with_host: Host | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; there is no HOME unless it is given one."""
        words = [*(self.image.entrypoint if entrypoint else ()), *command]
        started = self.image.started(
            self.place, words, user=user, binds=binds, environment=environment, with_host=with_host
        )
        with (stdin or Path("/dev/null")).open() as given:
            return subprocess.run(started, stdin=given, capture_output=True, text=True, check=False, timeout=300)


def build(state: State, directory: Path) -> ExecutionEnvironment:
    """As docs/execution-environments.md says; what was built before is kept beside the lab's images."""
    shutil.copy(DEFINITION, directory / "execution-environment.yml")
    (tarball,) = BUILD.glob("deploy_flake-nixos-*.tar.gz")
    shutil.copy(tarball, directory)
    create = [str(environments.for_builder().bin / "ansible-builder"), "create", "--output-filename=Containerfile"]
    done = subprocess.run(create, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"ansible-builder failed: {done.stdout}{done.stderr}")
    context = directory / "context"
    base = yaml.safe_load(DEFINITION.read_text())["images"]["base_image"]["name"]
    with state.locked():
        builder = Builder(context, state.dir, {base: _debian(state.dir)})
        image = builder.build((context / "Containerfile").read_text())
    return ExecutionEnvironment(image, state.dir / "container")


def _debian(directory: Path) -> Image:
    """In place of Debian's own image."""
    key = hashlib.sha256(" ".join(_DEBIAN).encode()).hexdigest()[:12]
    root = directory / f"container-debian-{key}"
    if not root.is_dir():
        say("building Debian for the execution environment")
        unfinished = root.with_name(f"{root.name}.unfinished")
        mounts.remove_tree(unfinished)
        done = subprocess.run([*_DEBIAN, str(unfinished)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"mmdebstrap failed: {done.stderr[-2000:]}")
        unfinished.rename(root)
    return Image((root,), key)
