# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What memory a deploy takes on the controller for each host at once, as docs/scale.md says."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.shell

NAMES = 10
OF_A_FORK = 20 << 10
"""KiB that a process for a host may have of its own; 15 MiB are measured, of which 9 are any task's."""
OF_ANSIBLE = 100 << 10

# In place of ssh: it is started by the process for a host, which has by then all that it needs to ask the host.
SSH = """#!/bin/sh
sleep 1
sed -n 's/^Private_Dirty: *\\([0-9]*\\) kB/\\1/p' "/proc/$PPID/smaps_rollup" >>"{directory}/forks"
ansible=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$PPID/status")
sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' "/proc/$ansible/status" >>"{directory}/ansible"
echo "ssh: connect to host 192.0.2.1 port 22: Connection refused" >&2
exit 255
"""


def test_a_process_for_a_host_has_little_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "flake").mkdir()
    (tmp_path / "flake/flake.nix").write_text("{ outputs = _: { }; }", "utf-8")
    hosts = {f"name{number}": {"ansible_host": "192.0.2.1"} for number in range(NAMES)}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}), "utf-8")
    (tmp_path / "ssh").write_text(SSH.format(directory=tmp_path), "utf-8")
    (tmp_path / "ssh").chmod(0o755)
    flake = ["-e", f"deploy_flake_flake={tmp_path / 'flake'}"]
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            "hosts.json",
            *flake,
            "deploy_flake.nixos.deploy",
        ],
        cwd=tmp_path,
        env={
            # What measures the coverage of processes takes its part of their memory.
            **{name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
            "HOME": str(tmp_path),
            "ANSIBLE_FORKS": str(NAMES),
            "ANSIBLE_SSH_EXECUTABLE": str(tmp_path / "ssh"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("unreachable=1") == NAMES, done.stdout
    forks = [int(line) for line in (tmp_path / "forks").read_text("utf-8").split()]
    assert len(forks) == NAMES, done.stdout
    assert statistics.median(forks) < OF_A_FORK
    assert max(int(line) for line in (tmp_path / "ansible").read_text("utf-8").split()) < OF_ANSIBLE
