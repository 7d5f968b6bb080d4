# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the example that tells a chat says of hosts, in a play of several batches."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.shell


def test_each_batch_is_told_of_by_itself(tmp_path: Path) -> None:
    (example,) = yaml.safe_load((ROOT / "examples/notify.yml").read_text("utf-8"))
    (told,) = example["post_tasks"]
    play = {
        "hosts": "all",
        "gather_facts": False,
        "serial": 2,
        "tasks": [{"ansible.builtin.fail": {}, "when": "inventory_hostname == 'b'"}],
        "post_tasks": [
            {"ansible.builtin.debug": {"msg": told["ansible.builtin.uri"]["body"]["text"]}, "run_once": True}
        ],
    }
    (tmp_path / "site.yml").write_text(yaml.safe_dump([play]), "utf-8")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "a,b,c,d", "site.yml"],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r'"msg": "(deployed: .*)"', done.stdout) == ["deployed: a", "deployed: c, d"], done.stdout
