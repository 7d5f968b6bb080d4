# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commits that led to a remote flake, in a repository of this run's own: so git can tell what comes after what."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

from . import git, git_login, git_program
from .credentials import Credentials
from .reference import FlakeError, split_query

_GIT = ("git+ssh", "git+https", "git+http", "git")
_FORGES = {"github": "github.com", "gitlab": "gitlab.com", "sourcehut": "git.sr.ht"}
_BRANCHES = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


def _with_token(reference: str, credentials: Credentials) -> Credentials:
    """With a token for a forge as the login that its git takes."""
    base, query = split_query(reference)
    scheme, _colon, rest = base.partition(":")
    if scheme not in _FORGES:
        return credentials
    host = query.get("host") or _FORGES[scheme]
    owner, name = (*rest.split("/"), "")[:2]
    token = credentials.token(host, owner, name)
    if not token:
        return credentials
    # A token of GitLab says of itself what it is.
    login = ("oauth2", token.rpartition(":")[2]) if scheme == "gitlab" else ("x-access-token", token)
    return Credentials(credentials.tokens, {**credentials.logins, host: login})


def repository_url(reference: str) -> str:
    """Where the repository of a locked remote flake is; "" where it is in none that is known."""
    base, query = split_query(reference)
    scheme, _colon, rest = base.partition(":")
    if scheme in _GIT:
        return base.removeprefix("git+")
    owner, _slash, more = rest.partition("/")
    name = more.partition("/")[0]
    if scheme not in _FORGES or not owner or not name:
        return ""
    return f"https://{query.get('host') or _FORGES[scheme]}/{unquote(owner)}/{unquote(name)}"


def fetch_history(reference: str, revision: str, into: Path, credentials: Credentials, limit: float) -> None:
    """Fetch the branches, the tags and the revision of a locked flake; FlakeError where that cannot be."""
    url = repository_url(reference)
    if not url:
        raise FlakeError("it is in no git repository that is known")
    credentials = _with_token(reference, credentials)
    try:
        _run(into.parent, url, credentials, limit, "init", "--quiet", "--bare", os.fspath(into))
        _fetch(into, url, credentials, limit, *_BRANCHES)
        if not git.has_commit(into, revision):
            _fetch(into, url, credentials, limit, revision)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


def fetch_branches(reference: str, into: Path, credentials: Credentials, limit: float) -> None:
    """Fetch the branches and the tags too into a repository that has less; FlakeError where that cannot be."""
    _fetch(into, repository_url(reference), _with_token(reference, credentials), limit, *_BRANCHES)


def _fetch(into: Path, url: str, credentials: Credentials, limit: float, *refs: str) -> None:
    _run(into, url, credentials, limit, "fetch", "--quiet", "--no-tags", "--", git_login.without_login(url), *refs)


def _run(where: Path, url: str, credentials: Credentials, limit: float, *arguments: str) -> None:
    # Nothing goes on in the background in a directory that is about to be removed.
    quiet = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
    try:
        environment = git_login.environment(where, url, credentials)
        status, said = git_program.run(where, environment, limit, *quiet, *arguments)
    except subprocess.TimeoutExpired:
        raise FlakeError(f"git did not fetch it within {limit:.0f} s") from None
    except FileNotFoundError:
        raise FlakeError("the program git is not on this machine") from None
    if status != 0:
        raise FlakeError("; ".join(said[-3:]) or f"git ended with {status}")
