# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheel: it has the types, and the collection."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
COLLECTION = "deploy_flake/_collections/ansible_collections/deploy_flake/nixos"


def test_what_is_in_it(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tree = {f"deploy_flake/{file.name}" for file in (ROOT / "deploy_flake").iterdir() if file.is_file()}
    assert {"deploy_flake/py.typed", "deploy_flake/events.schema.json", "deploy_flake/ansible.cfg"} < tree
    assert tree <= names
    for part in ("playbooks/deploy.yml", "roles/deploy/meta/argument_specs.yml", "plugins/action/flake_deploy.py"):
        assert f"{COLLECTION}/{part}" in names
