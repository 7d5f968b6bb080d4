# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same collection comes out of a clone, of a git worktree and of an unpacked tarball, whatever lies about in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import __main__ as program
from tools import tree
from tools.collection import IN_COLLECTIONS
from tools.shell import ROOT

LEFT_BEHIND = (
    ".build/old.tar.gz",
    ".coverage",
    ".hypothesis/unicode_data/15/charmap.json.gz",
    "collections/ansible_collections/other/MANIFEST.json",
    "deploy_flake-nixos-0.0.9.tar.gz",
    "plugins/action/__pycache__/system_info.cpython-313.pyc",
    "README.md~",
)

# As `python3 -m tools collection` does, with the environment that runs this test.
INSTALL = """
import sys
from pathlib import Path
from tools import collection
from tools.environments import Environment
from tools.shell import forget_git

forget_git()
collection.install(Environment(Path(sys.prefix), ""))
"""


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


def install(root: Path) -> dict[str, str | None]:
    """What is installed from a tree, with hashes."""
    env = {**os.environ, "PYTHONPATH": str(root / "tests"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", INSTALL], cwd=root, env=env, check=True, capture_output=True)
    files = root / ".build/collections" / IN_COLLECTIONS / "FILES.json"
    return {each["name"]: each["chksum_sha256"] for each in json.loads(files.read_text())["files"]}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """From a tree in which nothing lies about."""
    return install(copy(tmp_path_factory.mktemp("clean")))


def copy(to: Path) -> Path:
    """The project, and nothing that is not of it."""
    for name in tree.files():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, to / name, follow_symlinks=False)
    return to


def used(to: Path) -> Path:
    """A copy in which tools have left something."""
    copy(to)
    for name in LEFT_BEHIND:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_text("left behind")
    (to / ".venv").symlink_to(ROOT / ".venv")
    return to


def clone(place: Path) -> Path:
    """With a file in its index that it would ignore, and one that the user ignores everywhere."""
    root = used(place)
    git(root, "init", "--quiet")
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/exclude").write_text("*.md\n")
    git(root, "add", "--all")
    git(root, "add", "--force", *(name for name in LEFT_BEHIND if name.startswith(".hypothesis")))
    git(root, "commit", "--quiet", "--message=All")
    return root


def worktree(place: Path) -> Path:
    root = used(place / "clone")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=All")
    git(root, "worktree", "add", "--quiet", str(place / "worktree"))
    return place / "worktree"


def tarball(place: Path) -> Path:
    """Unpacked in another repository, which ignores it."""
    git(used(place / "build/it").parents[1], "init", "--quiet")
    (place / ".gitignore").write_text("build/\n")
    return place / "build/it"


@pytest.mark.shell
@pytest.mark.parametrize("form", [clone, worktree, tarball])
def test_the_same_files_from_every_form_of_the_tree(
    form: Callable[[Path], Path], expected: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = form(tmp_path)
    assert tree.files(root) == tree.files()
    # As a hook of git has it, that of another repository at that.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    for _again in range(2):
        assert install(root) == expected


def test_a_repository_within_the_tree_is_not_of_the_project(tmp_path: Path) -> None:
    root = copy(tmp_path)
    (root / "other").mkdir()
    git(root / "other", "init", "--quiet")
    (root / "other/file").write_text("")
    assert tree.files(root) == tree.files()


def test_a_hook_of_git_does_not_lead_into_its_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    inherited = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
    for name in inherited:
        monkeypatch.setenv(name, "somewhere")
    seen: set[str] = set()

    def target() -> list[str]:
        seen.update(os.environ)
        return []

    monkeypatch.setattr(program, "TARGETS", {"target": target})
    monkeypatch.setattr(sys, "argv", ["tools", "target"])
    assert program.main() == 0
    assert seen
    assert not seen & set(inherited)
