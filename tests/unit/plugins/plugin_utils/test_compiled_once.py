# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plugins have in common is compiled once, where that can be kept, and not in each process."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

PACKAGE = "ansible_collections.deploy_flake.nixos.plugins.plugin_utils"
ROOT = Path(__file__).parents[4]
PROGRAM = f"""
import sys
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
_AnsibleCollectionFinder(paths=[sys.argv[1]])._install()
from {PACKAGE} import _lists
from {PACKAGE}._flake import nar
print(_lists.split("a, b"), nar.__name__.rpartition(".")[2])
"""


def test_all_of_it() -> None:
    package = importlib.import_module(PACKAGE)
    found = [module.name for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}.")]
    assert len(found) > 50
    for name in found:
        module = importlib.import_module(name)
        if module.__file__:
            assert isinstance(module.__loader__, SourceFileLoader), name


@pytest.fixture
def collections(tmp_path: Path) -> Path:
    """Where the collection is installed, for whoever may write there."""
    installed = tmp_path / "collections/ansible_collections/deploy_flake/nixos"
    ours = installed / "plugins/plugin_utils"
    shutil.copytree(ROOT / "plugins/plugin_utils", ours, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "collections"


def loaded(collections: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-c", PROGRAM, str(collections)]
    return subprocess.run(command, env=env, text=True, capture_output=True, check=True, timeout=60).stdout


def test_kept_beside_its_source(collections: Path) -> None:
    assert loaded(collections) == "['a', 'b'] nar\n"
    kept = list(collections.rglob("__pycache__/_lists.*.pyc"))
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    assert loaded(collections) == "['a', 'b'] nar\n"
    assert kept[0].stat().st_mtime_ns == before


def test_changed_source_is_compiled_again(collections: Path) -> None:
    loaded(collections)
    source = next(collections.rglob("_lists.py"))
    source.write_text(source.read_text() + "\nsplit = lambda text: [text]\n")
    assert loaded(collections) == "['a, b'] nar\n"


def test_nowhere_to_keep_it(collections: Path) -> None:
    """A file where the directory would be: as where it may not be written, but for root as well."""
    for directory in [path for path in collections.rglob("*") if path.is_dir()]:
        (directory / "__pycache__").touch()
    assert loaded(collections) == "['a', 'b'] nar\n"
