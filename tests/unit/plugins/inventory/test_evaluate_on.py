# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-inventory as a user runs it, and Ansible's own connection to the host that evaluates, as far as to ssh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.shell
# In the place of ssh and of all behind it: each script that comes gets an answer.
SSH = r"""#!/usr/bin/env python3
import json, re, sys
from pathlib import Path
here = Path(__file__).parent
with (here / "asked.jsonl").open("a") as asked:
    asked.write(json.dumps(sys.argv[1:]) + "\n")
if wanted := re.search(r"BECOME-SUCCESS-\w+", sys.argv[-1]):
    print(wanted[0], flush=True)
text = sys.stdin.buffer.read().decode(errors="replace")
answers = {"status": "0", "value": (here / "said.json").read_text(), "error": ""} if "eval_limit=" in text else {}
if "eval_limit=" not in text and (asked := re.search(r"^paths=(\S+)", text, re.MULTILINE)):
    answers = {"missing": asked[1]}
sys.stdout.write("\1deploy-flake\1" + "".join(f"{name}\0{value}\0" for name, value in answers.items()))
"""
SAID = {"nixosConfigurations": {"web1": {"role": "{{ 1 + 1 }}"}}}


class Directory:
    """A flake, an inventory beside it, and what stands for ssh."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "flake.nix").write_text("{ outputs = _: { }; }")
        (path / "said.json").write_text(json.dumps(SAID))
        (path / "ssh").write_text(SSH)
        (path / "ssh").chmod(0o755)
        config = {
            "plugin": "deploy_flake.nixos.flake",
            "evaluate_on": "builder",
            "evaluate_on_vars": {
                "ansible_host": "192.0.2.3",
                "ansible_user": "admin",
                "ansible_ssh_executable": str(path / "ssh"),
                "ansible_become_password": "{{ 'a' ~ 'b' }}",
            },
        }
        (path / "hosts.yml").write_text(yaml.safe_dump(config))

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        programs = Path(sys.executable).parent
        kept = {name: value for name, value in os.environ.items() if name.startswith(("ANSIBLE_COLLECTIONS", "LANG"))}
        return subprocess.run(
            [str(programs / program), "-i", str(self.path / "hosts.yml"), *arguments],
            cwd="/",
            env={**kept, "HOME": str(self.path / "home"), "PATH": "/usr/bin:/bin", "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            # Machines for tests are busy.
            timeout=300,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def asked(self) -> Iterator[list[str]]:
        for line in (self.path / "asked.jsonl").read_text().splitlines():
            yield json.loads(line)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def test_standard_output_is_the_inventory(directory: Directory) -> None:
    done = directory.run("ansible-inventory", "--list")
    listed: dict[str, Any] = json.loads(done.stdout)
    assert listed["nixos_configurations"]["hosts"] == ["web1"]
    # What Ansible will not template it says to be so.
    assert listed["_meta"]["hostvars"]["web1"]["role"] == {"__ansible_unsafe": "{{ 1 + 1 }}"}
    assert "builder: evaluates which hosts the flake has" in done.stderr
    asked = list(directory.asked())
    # It was asked what it lacks, given that, had to evaluate it, and let go of it.
    assert len(asked) == 4
    for arguments in asked:
        assert 'User="admin"' in arguments
        assert "192.0.2.3" in arguments
        assert "sudo" in arguments[-1]
        assert "builder" not in arguments


def test_nothing_of_it_is_templated_in_a_task(directory: Directory) -> None:
    done = directory.run("ansible", "web1", "-m", "ansible.builtin.debug", "-a", "msg={{ role }}")
    assert done.returncode == 0, done.stderr
    assert '"msg": "{{ 1 + 1 }}"' in done.stdout
