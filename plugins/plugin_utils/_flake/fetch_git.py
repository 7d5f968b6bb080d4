# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commits of git repositories elsewhere, fetched as the operator: with their keys, agent, helpers and configuration."""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from . import git, git_login, git_program, nar
from .credentials import Credentials
from .reference import FlakeError

SCHEMES = ("https", "http", "ssh", "git", "file")
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LINES = 5


def fetched_commit(
    directory: Path, url: str, revision: str, ref: str, submodules: bool, credentials: Credentials, limit: float
) -> nar.Node:
    """Fetch a commit into the directory, and read it from there; FlakeError where that cannot be."""
    return _Fetch(directory, credentials, time.monotonic() + limit, limit).tree(url, revision, ref, submodules)


class _Fetch:
    def __init__(self, directory: Path, credentials: Credentials, ends: float, limit: float) -> None:
        self._directory = directory
        self._credentials = credentials
        self._ends = ends
        self._limit = limit
        self._count = 0

    def tree(self, url: str, revision: str, ref: str, submodules: bool) -> nar.Directory:
        """The content of a commit, with that of its submodules where they are asked for."""
        if not _REVISION.fullmatch(revision):
            raise FlakeError("it is not locked to a commit")
        self._count += 1
        repository = self._directory / f"repository{self._count}"
        self._fetch(repository, url, revision, ref)
        tree = git.commit_tree(repository, revision)
        if submodules:
            for path, where, name in self._submodules(repository, revision):
                inner = self.tree(_beside(url, where), name, "", True)
                _graft(tree, path, inner)
        return tree

    def _fetch(self, repository: Path, url: str, revision: str, ref: str) -> None:
        """The commit alone; where the server gives none by its name, its branch, and then everything."""
        hash_format = "sha256" if len(revision) == 64 else "sha1"
        self._git(
            self._directory, url, "init", "--quiet", "--bare", f"--object-format={hash_format}", os.fspath(repository)
        )
        said = ""
        where = git_login.without_login(url)
        attempts = [["--depth=1", where, revision]]
        if ref and not ref.startswith("-"):
            attempts.append([where, ref])
        attempts.append([where, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"])
        for arguments in attempts:
            code, errors = self._git(repository, url, "fetch", "--quiet", "--no-tags", *arguments)
            said = said or errors
            found, _errors = self._git(repository, url, "cat-file", "-e", f"{revision}^{{commit}}")
            if code == 0 and found == 0:
                return
        raise FlakeError(f"git cannot fetch it: {said or f'there is no commit {revision}'}")

    def _submodules(self, repository: Path, revision: str) -> Iterator[tuple[bytes, str, str]]:
        """The path, the URL and the commit of each."""
        places = git.submodules(repository, revision)
        if not places:
            return
        urls = git.submodule_urls(repository, revision)
        for path, name in places.items():
            if path not in urls:
                raise FlakeError(f"its submodule {os.fsdecode(path)} has no URL in .gitmodules")
            yield path, urls[path], name

    def _git(self, directory: Path, url: str, *arguments: str) -> tuple[int, str]:
        """Run git; how it ended, and its last words."""
        left = self._ends - time.monotonic()
        try:
            status, said = git_program.run(
                directory,
                git_login.environment(directory, url, self._credentials),
                max(left, 1),
                *("-c", "protocol.ext.allow=never"),
                *arguments,
            )
        except subprocess.TimeoutExpired as error:
            raise FlakeError(f"git has not fetched it within {self._limit:.0f} s ('copy_timeout')") from error
        except FileNotFoundError as error:
            raise FlakeError("the program git is not on this machine") from error
        return status, "; ".join(said[-_LINES:])


def _beside(url: str, where: str) -> str:
    """The URL of a submodule, which may be relative to that of the repository that it is in."""
    if where.startswith(("./", "../")):
        parts = urlsplit(url)
        return urlunsplit(parts._replace(path=posixpath.normpath(posixpath.join(parts.path, where))))
    scheme = re.match(r"([a-z][a-z0-9+.-]*)://", where)
    # What stands before two colons is a program of its own to git.
    if scheme is None and re.match(r"(?![/-]|[\w+.-]*::)[^/]+:", where):
        # As scp has it.
        return where
    if scheme is None or scheme[1] not in SCHEMES:
        raise FlakeError(f"the controller cannot fetch its submodule from {where!r}")
    return where


def _graft(tree: nar.Directory, path: bytes, inner: nar.Directory) -> None:
    *above, name = path.split(b"/")
    node: nar.Node = tree
    for part in above:
        node = node.entries[part] if isinstance(node, nar.Directory) else node
    if isinstance(node, nar.Directory) and isinstance(node.entries, dict):
        node.entries[name] = inner
