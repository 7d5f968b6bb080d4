# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An input of a lock file that lies elsewhere, fetched by the controller for hosts that cannot fetch it.

Nix fetches no locked input that is in the store with its narHash. Sources: "Flake references" in the Nix manual, and
the fetchers `git`, `github` with its likes and `tarball` in Nix.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from .._printable import without_logins
from . import git, nar
from .archive import unpacked
from .credentials import Credentials
from .download import download
from .fetch_git import SCHEMES, fetched_commit
from .reference import FlakeError
from .snapshot import Snapshot, take_snapshot

_DEFAULT_HOST = {"github": "github.com", "gitlab": "gitlab.com", "sourcehut": "git.sr.ht"}


@dataclass(frozen=True)
class RemoteInput:
    """A node of a lock file. Hosts need it at this store path, or fetch it by themselves."""

    name: str
    locked: Mapping[str, Any]
    nar_hash: str
    store_path: str

    @property
    def reference(self) -> str:
        """Where it comes from, for people, without a login that may be in it."""
        kind, revision = str(self.locked.get("type", "")), str(self.locked.get("rev", ""))
        if kind in _DEFAULT_HOST:
            where = f"{kind}:{self._at('owner')}/{self._at('repo')}/{revision}"
            return f"{where}?host={self._at('host')}" if self._at("host") else where
        url = self._at("url")
        return f"{kind}+{without_logins(url)}{f'?rev={revision}' if revision else ''}" if url else kind

    @property
    def host(self) -> str:
        """The machine that has it."""
        kind = self._at("type")
        return self._at("host") or _DEFAULT_HOST.get(kind, "") or (urlsplit(self._at("url")).hostname or "")

    def is_private(self, credentials: Credentials) -> bool:
        """Whether one has to log in for it: over ssh, or where there is a token, a login or a password for it here."""
        url = urlsplit(self._at("url"))
        if self._at("type") in _DEFAULT_HOST:
            if self.host in _DEFAULT_HOST.values():
                # Most have a token for all of a forge that everybody can read, which lets them ask it more often.
                return bool(credentials.own_token(self.host, self._at("owner"), self._at("repo")))
            return bool(self._token(credentials))
        return url.scheme == "ssh" or bool(url.username or url.password) or self.host in credentials.logins

    def may_be_private(self, credentials: Credentials) -> bool:
        """Whether what the operator logs in with is good for it, though it may be open to all."""
        return self.is_private(credentials) or bool(self._token(credentials))

    def fetch(self, credentials: Credentials, file: BinaryIO, limit: float) -> Snapshot:
        """Fetch it into a NAR, and make sure that it is what the lock file says; FlakeError where it cannot be."""
        what = f"input '{self.name}' ({self.reference})"
        try:
            with tempfile.TemporaryDirectory(prefix="deploy-flake-input-") as directory:
                place = Path(directory)
                with self._fetched(credentials, place, limit) as tree:
                    snapshot = take_snapshot(tree, place, file)
        except (FlakeError, nar.NarError, git.GitError, OSError) as error:
            raise FlakeError(f"{what}: {error}") from error
        if snapshot.nar_hash != self.nar_hash:
            raise FlakeError(
                f"{what} is not what the lock file says: locked is {self.nar_hash}, the controller was given"
                f" {snapshot.nar_hash}. Lock it again with 'nix flake update {self.name}' if that is right"
            )
        return snapshot

    @contextmanager
    def _fetched(self, credentials: Credentials, directory: Path, limit: float) -> Iterator[nar.Node]:
        kind = self._at("type")
        if kind == "git":
            for option in ("lfs", "exportIgnore"):
                if self.locked.get(option):
                    raise FlakeError(f"the controller cannot fetch it with '{option}'")
            if urlsplit(self._at("url")).scheme not in SCHEMES or "://" not in self._at("url"):
                raise FlakeError("the controller cannot fetch it over this protocol")
            submodules = bool(self.locked.get("submodules"))
            yield fetched_commit(
                directory, self._at("url"), self._at("rev"), self._at("ref"), submodules, credentials, limit
            )
        elif kind in _DEFAULT_HOST or kind in ("tarball", "file"):
            url, headers = self._archive(credentials)
            archive = directory / "archive"
            # A token is meant for this very thing, a login for all that there is on the server.
            login = None if headers else credentials.logins.get(urlsplit(url).hostname or "")
            download(url, headers, login, archive, limit)
            if kind == "file":
                yield nar.RegularFile(archive.stat().st_size, False, lambda: archive.open("rb"))
            else:
                with unpacked(archive, directory) as tree:
                    yield tree
        else:
            raise FlakeError(f"the controller cannot fetch inputs of the type {kind!r}")

    def _archive(self, credentials: Credentials) -> tuple[str, dict[str, str]]:
        """Where its archive is, and what is said there of who asks."""
        kind, host = self._at("type"), self.host
        owner, repository, revision = (quote(self._at(name), safe="") for name in ("owner", "repo", "rev"))
        token = self._token(credentials)
        if kind == "github" and host == "github.com" and not token:
            return f"https://{host}/{owner}/{repository}/archive/{revision}.tar.gz", {}
        if kind == "github":
            api = "api.github.com" if host == "github.com" else f"{host}/api/v3"
            headers = {"Authorization": f"token {token}"} if token else {}
            return f"https://{api}/repos/{owner}/{repository}/tarball/{revision}", headers
        if kind == "gitlab":
            # The names of nested groups are percent-encoded in the lock file.
            project = f"{quote(self._at('owner'), safe='%')}%2F{repository}"
            return (
                f"https://{host}/api/v4/projects/{project}/repository/archive.tar.gz?sha={revision}",
                _gitlab_header(token),
            )
        if kind == "sourcehut":
            return f"https://{host}/{owner}/{repository}/archive/{revision}.tar.gz", {}
        return self._at("url"), {}

    def _token(self, credentials: Credentials) -> str:
        return credentials.token(self.host, self._at("owner"), self._at("repo"))

    def _at(self, name: str) -> str:
        return str(self.locked.get(name) or "")


def _gitlab_header(token: str) -> dict[str, str]:
    """A token of GitLab says of itself what it is."""
    kind, _colon, secret = token.partition(":")
    if kind == "OAuth2":
        return {"Authorization": f"Bearer {secret}"}
    return {"Private-token": secret} if kind == "PAT" else {}
