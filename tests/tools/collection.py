# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two forms in which the collection is checked and tested: a copy of the tree, and what a user would install."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from tools import tree
from tools.environments import Environment
from tools.shell import BUILD, ROOT, Failed, must, say

IN_COLLECTIONS = Path("ansible_collections/deploy_flake/nixos")
COLLECTIONS = BUILD / "collections"


def copy_tree(to: Path) -> Path:
    """Copy the project's files to where ansible-test and others insist that a collection is."""
    shutil.rmtree(to, ignore_errors=True)
    target = to / IN_COLLECTIONS
    for name in tree.files():
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, place, follow_symlinks=False)
    # Tools that ask git for the files to look at would ask the surrounding work tree, which ignores this place.
    must(["git", "init", "--quiet", "--template=", target])
    must(["git", "-C", target, "add", "--all"])
    return target


def install(environment: Environment) -> None:
    """Build the tarball and install it below .build/collections, unless this very tree is installed already."""
    fingerprint = _fingerprint()
    stamp = BUILD / "collections.made-from"
    if COLLECTIONS.exists() and stamp.exists() and stamp.read_text() == fingerprint:
        return
    say("building and installing the collection")
    work = BUILD / f"install-{os.getpid()}"
    galaxy = environment.bin / "ansible-galaxy"
    # ansible-galaxy keeps nothing of ours in the user's home.
    env = {"ANSIBLE_HOME": str(work / "ansible"), "ANSIBLE_COLLECTIONS_PATH": str(work / "new")}
    try:
        source = copy_tree(work / "tree")
        must([galaxy, "collection", "build", source, "--output-path", work], env=env)
        tarballs = list(work.glob("deploy_flake-nixos-*.tar.gz"))
        if len(tarballs) != 1:
            raise Failed(f"Expected one tarball of the collection below {work}.")
        must([galaxy, "collection", "install", tarballs[0], "--collections-path", work / "new", "--offline"], env=env)
        shutil.copy2(tarballs[0], BUILD)
        stamp.unlink(missing_ok=True)
        shutil.rmtree(COLLECTIONS, ignore_errors=True)
        (work / "new").rename(COLLECTIONS)
        stamp.write_text(fingerprint)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in tree.files():
        path = ROOT / name
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        mode = path.lstat().st_mode
        digest.update(f"{name}\0{mode:o}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
