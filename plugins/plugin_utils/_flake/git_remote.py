# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A flake in a git repository elsewhere, fetched by the controller's git with whatever it logs in with.

Source: the type `git` under "Flake references" in the Nix manual (nix3-flake), and Nix's git fetcher.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from . import git, git_login, git_program, nar
from .credentials import Credentials
from .flake_nix import declared_inputs
from .local import LocalFlake
from .reference import FlakeError, split_query

_SCHEMES = ("git+ssh", "git+https", "git+http", "git")
_KNOWN = {"dir", "ref", "rev", "shallow", "allRefs"}
_WANTED = "refs/deploy-flake/wanted"


def fetch_git_flake(reference: str, into: Path, credentials: Credentials, limit: float) -> LocalFlake | None:
    """Fetch the commit that a reference means now into a new repository; None where Nix alone knows how.

    Raises GitError with what git and ssh have said.
    """
    base, query = split_query(reference)
    scheme = base.partition(":")[0]
    if scheme not in _SCHEMES or not query.keys() <= _KNOWN or shutil.which("git") is None:
        return None
    shallow = query.get("shallow") == "1" and "rev" not in query
    url = base.removeprefix("git+")
    environment = git_login.environment(into, url, credentials)
    _run(into.parent, environment, limit, "init", "--quiet", "--bare", os.fspath(into))
    wanted = query.get("ref", "HEAD")
    if wanted != "HEAD" and not wanted.startswith("refs/"):
        wanted = f"refs/heads/{wanted}"
    everything = query.get("allRefs") == "1"
    refs = [f"+{wanted}:{_WANTED}", *(["+refs/*:refs/deploy-flake/all/*"] if everything else [])]
    options = ["--quiet", "--no-tags", "--no-recurse-submodules", *(["--depth=1"] if shallow else [])]
    _run(into, environment, limit, "fetch", *options, "--", git_login.without_login(url), *refs)
    found = git.commit(into, query.get("rev", _WANTED))
    directory = os.path.normpath(query.get("dir", "").strip("/") or ".")
    if directory == ".":
        directory = ""
    flake = LocalFlake(
        into,
        directory,
        revision=found.name,
        last_modified=found.time,
        revision_count=found.count,
        tree=git.commit_tree(into, found.name),
    )
    name = os.fsencode(f"{directory}/flake.nix")
    text = nar.find_followed(flake.tree, name)
    if nar.find(flake.tree, name) is None:
        raise FlakeError(f"there is no flake.nix in {reference!r}, commit {found.name}; say with '?dir=…' where it is")
    if isinstance(text, nar.RegularFile) and _asks_for_more(nar.read(text)):
        return None
    return flake


def _asks_for_more(flake_nix: bytes) -> bool:
    """Whether the flake wants its own submodules, or the files that git-lfs keeps elsewhere."""
    declared = declared_inputs(flake_nix.decode(errors="surrogateescape")) or {}
    return any(value is not False for value in declared.get("self", {}).values())


def _run(where: Path, environment: Mapping[str, str], limit: float, *arguments: str) -> None:
    # Nothing goes on in the background in a directory that is about to be removed.
    quiet = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
    try:
        status, said = git_program.run(where, environment, limit, *quiet, *arguments)
    except subprocess.TimeoutExpired:
        raise git.GitError(f"git did not fetch it within {limit:.0f} s") from None
    if status != 0:
        raise git.GitError("\n".join(said[-6:]) or f"git ended with {status}")
