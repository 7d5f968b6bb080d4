# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs that the controller fetches: from git repositories and servers on this machine."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import urls

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake import (
    fetch_git,
    git_login,
    git_program,
    nar,
    remote_input,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.credentials import Credentials
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.git import GitError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.git_remote import fetch_git_flake
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.history import fetch_history
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.remote_input import RemoteInput
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.shared import shared_input
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.snapshot import take_snapshot

NOBODY = Credentials()


def remote(nar_hash: str = "", **locked: Any) -> RemoteInput:
    return RemoteInput("one", locked, nar_hash, f"/nix/store/{'1' * 32}-source")


def fetched(one: RemoteInput, credentials: Credentials = NOBODY, limit: float = 30) -> str:
    """The hash of what is fetched."""
    with io.BytesIO() as file:
        return one.fetch(credentials, file, limit).nar_hash


def nar_hash(directory: Path, *without: bytes) -> str:
    tree = nar.directory_tree(directory)
    assert isinstance(tree, nar.Directory)
    entries = {name: node for name, node in tree.entries.items() if name not in (b".git", *without)}
    with take_snapshot(nar.Directory(entries), directory) as snapshot:
        return snapshot.nar_hash


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]
    done = subprocess.run([*command, "-C", str(directory), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(directory: Path, **files: str) -> str:
    directory.mkdir(exist_ok=True)
    if not (directory / ".git").exists():
        git(directory, "init", "-q", "-b", "main")
    for name, text in files.items():
        (directory / name).write_text(text)
    git(directory, "add", ".")
    git(directory, "commit", "-q", "-m", "more")
    return git(directory, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def own_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text('[protocol "file"]\nallow = always\n')


def test_git(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    revision, expected = commit(repository, a="1"), nar_hash(repository)
    commit(repository, a="2")
    locked = {"type": "git", "url": f"file://{repository}", "rev": revision, "ref": "refs/heads/main"}
    assert fetched(remote(expected, **locked)) == expected
    with pytest.raises(FlakeError, match="is not what the lock file says: locked is sha256-x") as error:
        fetched(remote("sha256-x", **locked))
    assert f"input 'one' (git+file://{repository}?rev={revision})" in str(error.value)


def test_git_server_that_gives_branches_alone(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    revision, expected = commit(repository, a="1"), nar_hash(repository)
    commit(repository, a="2")
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "false")
    git(repository, "config", "protocol.version", "0")
    for ref in ("refs/heads/main", "refs/heads/gone", ""):
        assert fetched(remote(expected, type="git", url=f"file://{repository}", rev=revision, ref=ref)) == expected


def test_git_submodules(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    commit(inner, b="1")
    commit(outer, a="1")
    git(outer, "submodule", "--quiet", "add", "../inner", "part/inner")
    revision = commit(outer)
    locked = {"type": "git", "url": f"file://{outer}", "rev": revision}
    (outer / "part/inner/.git").unlink()
    expected = nar_hash(outer)
    assert fetched(remote(expected, **locked, submodules=True)) == expected
    (outer / "part/inner/b").unlink()
    assert fetched(remote(nar_hash(outer), **locked)) == nar_hash(outer)


def submodule(outer: Path, path: str, revision: str, *settings: str) -> str:
    """Commit a submodule, as git does not have to have it here; with these lines in .gitmodules."""
    git(outer, "update-index", "--add", "--cacheinfo", f"160000,{revision},{path}")
    (outer / ".gitmodules").write_text("".join(f"{line}\n" for line in settings))
    git(outer, "add", ".gitmodules")
    git(outer, "commit", "-q", "-m", "submodule")
    return git(outer, "rev-parse", "HEAD")


def test_git_submodules_of_submodules(tmp_path: Path) -> None:
    """Each is found from where the one is that it is in, and is put deep into that."""
    server = tmp_path / "server"
    for directory in ("outer", "libs/inner", "libs/inner/deep"):
        (server / directory).mkdir(parents=True)
    deep = commit(server / "libs/inner/deep", d="3")
    inner = server / "libs/inner"
    (inner / ".gitignore").write_text("deep\n")
    commit(inner, b="2")
    middle = submodule(inner, "x/y/deep", deep, '[submodule "d"]', "path = x/y/deep", "url = ./deep")
    outer = server / "outer"
    commit(outer, a="1")
    (outer / "part").mkdir()
    commit(outer, **{"part/c": "4"})
    revision = submodule(
        outer, "part/of/inner", middle, '[submodule "i"]', "path = part/of/inner", "url = ../libs/inner"
    )

    expected = tmp_path / "expected"
    git(tmp_path, "clone", "--quiet", "--recurse-submodules", str(outer), str(expected))
    for link in expected.rglob(".git"):
        if link.is_file():
            link.unlink()
    assert (expected / "part/of/inner/x/y/deep/d").read_text() == "3"
    locked = {"type": "git", "url": f"file://{outer}", "rev": revision, "submodules": True}
    assert fetched(remote(nar_hash(expected), **locked)) == nar_hash(expected)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (['[submodule "x"]', "path = some/where"], "its submodule some/where has no URL in .gitmodules"),
        (['[submodule "x"]', "path = another", "url = ../x"], "its submodule some/where has no URL in .gitmodules"),
        (['[submodule "x"]', "path = some/where", "url = ../nowhere"], "git cannot fetch it: .*nowhere"),
        (['[submodule "x"]', "path = some/where", "url = /nowhere"], "cannot fetch its submodule from '/nowhere'"),
        ([], "input 'one'"),
    ],
)
def test_git_submodules_that_cannot_be_fetched(tmp_path: Path, settings: list[str], words: str) -> None:
    outer = tmp_path / "outer"
    commit(outer, a="1")
    revision = submodule(outer, "some/where", "1" * 40, *settings)
    with pytest.raises(FlakeError, match=words):
        fetched(remote(type="git", url=f"file://{outer}", rev=revision, submodules=True))


def test_git_has_one_limit_for_all_submodules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one answers no more."""
    monkeypatch.setenv("GIT_SSH_COMMAND", "sleep 100 #")
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    revision = commit(inner, b="1")
    commit(outer, a="1")
    submodule(outer, "a", revision, '[submodule "a"]', "path = a", "url = ../inner")
    lines = [
        '[submodule "a"]',
        "path = a",
        "url = ../inner",
        '[submodule "b"]',
        "path = b",
        "url = ssh://example.org/b",
    ]
    revision = submodule(outer, "b", "1" * 40, *lines)
    began = time.monotonic()
    with pytest.raises(FlakeError, match=r"git has not fetched it within 3 s \('copy_timeout'\)"):
        fetched(remote(type="git", url=f"file://{outer}", rev=revision, submodules=True), limit=3)
    assert 2 < time.monotonic() - began < 30


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    url = "https://example.org/x"
    with pytest.raises(FlakeError, match=r"input 'one' .*: the program git is not on this machine"):
        fetched(remote(type="git", url=url, rev="1" * 40))
    with pytest.raises(FlakeError, match="the program git is not on this machine"):
        fetch_history(f"git+{url}", "1" * 40, tmp_path / "into", NOBODY, 30)
    assert fetch_git_flake(f"git+{url}", tmp_path / "into", NOBODY, 30) is None


@pytest.mark.parametrize("where", ["GIT_SSH_COMMAND", "GIT_SSH", "core.sshCommand"])
def test_git_uses_the_ssh_that_the_operator_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    for name in ("GIT_SSH_COMMAND", "GIT_SSH"):
        monkeypatch.delenv(name, raising=False)
    program = tmp_path / "own-ssh"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\necho this one >&2\nexit 255\n')
    program.chmod(0o755)
    if where.startswith("GIT_"):
        monkeypatch.setenv(where, str(program))
    else:
        with (tmp_path / "gitconfig").open("a") as file:
            file.write(f"[core]\nsshCommand = {program}\n")
    with pytest.raises(FlakeError, match="this one"):
        fetched(remote(type="git", url="ssh://git@example.org/x.git", rev="1" * 40))
    assert "BatchMode" not in (tmp_path / "asked").read_text()


@pytest.mark.parametrize("url", ["foo::bar", "foo::https://example.org/x", "ext::sh -c evil", "ftp://example.org/x"])
def test_git_runs_no_program_that_a_submodule_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git-remote-foo").write_text(f"#!/bin/sh\ntouch {tmp_path}/evil\n")
    (tmp_path / "bin/git-remote-foo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    commit(inner, b="1")
    commit(outer, a="1")
    git(outer, "submodule", "--quiet", "add", "../inner", "inner")
    (outer / ".gitmodules").write_text(f'[submodule "inner"]\npath = inner\nurl = "{url}"\n')
    revision = commit(outer)
    with pytest.raises(FlakeError, match="cannot fetch its submodule from"):
        fetched(remote(type="git", url=f"file://{outer}", rev=revision, submodules=True))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("url", ["git@example.org:me/x", "example.org:x", "git@[::1]:me/x", "[::1]:x", "ssh://[::1]/x"])
def test_where_submodules_may_be(url: str) -> None:
    assert fetch_git._beside("https://example.org/a/b", url) == url


@pytest.mark.parametrize(
    ("of", "where", "url"),
    [
        ("https://example.org/a/b", "../x", "https://example.org/a/x"),
        ("https://example.org/a/b/", "../x.git", "https://example.org/a/x.git"),
        ("https://example.org/a/b", "./x", "https://example.org/a/b/x"),
        ("ssh://git@example.org:7/a/b", "../../c/x", "ssh://git@example.org:7/c/x"),
        ("https://me:pw@example.org/a/b", "../x", "https://me:pw@example.org/a/x"),
        # There is nothing above it.
        ("https://example.org/a", "../../../x", "https://example.org/x"),
    ],
)
def test_where_a_submodule_is_beside(of: str, where: str, url: str) -> None:
    assert fetch_git._beside(of, where) == url


def test_a_connection_that_ansible_cannot_make(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: Any, **_options: Any) -> None:
        raise urls.SSLValidationError("no certificate")

    monkeypatch.setattr(urls, "open_url", refuse)
    with pytest.raises(FlakeError, match=r"input 'one' .* cannot be fetched: no certificate"):
        fetched(remote(type="tarball", url="https://example.org/x?token=s3cret"))


@pytest.mark.parametrize(
    ("locked", "words"),
    [
        ({"url": "ext::sh -c touch% /evil", "rev": "1" * 40}, "over this protocol"),
        ({"url": "--upload-pack=evil", "rev": "1" * 40}, "over this protocol"),
        ({"url": "http::evil", "rev": "1" * 40}, "over this protocol"),
        ({"url": "file:///nowhere", "rev": "-x"}, "not locked to a commit"),
        ({"url": "file:///nowhere", "rev": "1" * 40, "ref": "--upload-pack=evil"}, "git cannot fetch it"),
        ({"url": "file:///nowhere", "rev": "1" * 40, "lfs": True}, "cannot fetch it with 'lfs'"),
    ],
)
def test_git_that_cannot_be_fetched(locked: dict[str, Any], words: str) -> None:
    with pytest.raises(FlakeError, match=words):
        fetched(remote(type="git", **locked))


def test_git_is_asked_as_the_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over ssh with what ssh finds by itself, and never with a question that waits for an answer."""
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\necho no key >&2\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    one = remote(type="git", url="ssh://git@example.org/x.git", rev="1" * 40)
    with pytest.raises(FlakeError, match="no key"):
        fetched(one)
    assert "-o BatchMode=yes" in (tmp_path / "asked").read_text()
    assert one.is_private(NOBODY)
    program.write_text("#!/bin/sh\nsleep 20\n")
    with pytest.raises(FlakeError, match="within 1 s"):
        fetched(one, limit=1)


class Handler(BaseHTTPRequestHandler):
    asked: list[tuple[str, str]]
    answers: dict[str, tuple[int, bytes]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization", "") + self.headers.get("Private-token", "")))
        code, data = self.answers.get(self.path, (404, b""))
        self.send_response(code)
        if code == 302:
            self.send_header("Location", data.decode())
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    Handler.asked, Handler.answers = [], {}
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def archive(tmp_path: Path) -> tuple[bytes, str]:
    """A tar file, and the hash of what is in it."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/flake.nix").write_text("{ }")
    with tarfile.open(tmp_path / "tar", "w:gz") as tar:
        tar.add(tmp_path / "source", "top")
    return (tmp_path / "tar").read_bytes(), nar_hash(tmp_path / "source")


def test_tarball(server: HTTPServer, archive: tuple[bytes, str]) -> None:
    data, expected = archive
    Handler.answers = {"/x.tar.gz": (302, b"/y"), "/y": (200, data)}
    url = f"http://127.0.0.1:{server.server_port}/x.tar.gz"
    assert fetched(remote(expected, type="tarball", url=url)) == expected
    assert [given for _path, given in Handler.asked] == ["", ""]
    logged_in = Credentials(logins={"127.0.0.1": ("me", "x")})
    assert fetched(remote(expected, type="tarball", url=url), logged_in) == expected
    # Whoever it leads to does not get the password.
    assert [given for _path, given in Handler.asked[2:]] == ["Basic bWU6eA==", ""]
    assert remote(type="tarball", url=url).is_private(logged_in)
    assert not remote(type="tarball", url=url).is_private(NOBODY)


def test_a_token_goes_before_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def download(_url: str, headers: dict[str, str], login: object, _to: Path, _limit: float) -> None:
        given.append((headers, login))
        raise FlakeError("enough")

    monkeypatch.setattr(remote_input, "download", download)
    one = remote(type="github", owner="me", repo="x", rev="1", host="ghe.org")
    for tokens in ({"ghe.org": "t"}, {}):
        with pytest.raises(FlakeError, match="enough"):
            fetched(one, Credentials(tokens, {"ghe.org": ("me", "x")}))
    assert given == [({"Authorization": "token t"}, None), ({}, ("me", "x"))]


def test_password_in_a_url(server: HTTPServer, archive: tuple[bytes, str]) -> None:
    data, expected = archive
    Handler.answers = {"/x": (200, data)}
    one = remote(expected, type="tarball", url=f"http://me:s3cret@127.0.0.1:{server.server_port}/x")
    assert fetched(one) == expected
    assert Handler.asked == [("/x", "Basic bWU6czNjcmV0")]
    assert one.is_private(NOBODY)
    Handler.answers = {}
    with pytest.raises(FlakeError, match="answers 404") as error:
        fetched(one)
    assert "s3cret" not in str(error.value)


def test_file(server: HTTPServer, tmp_path: Path) -> None:
    Handler.answers = {"/x": (200, b"text")}
    (tmp_path / "x").write_bytes(b"text")
    with take_snapshot(nar.directory_tree(tmp_path / "x"), tmp_path) as snapshot:
        expected = snapshot.nar_hash
    for url in (f"http://127.0.0.1:{server.server_port}/x", f"file://{tmp_path}/x"):
        assert fetched(remote(expected, type="file", url=url)) == expected


@pytest.mark.parametrize(
    ("locked", "tokens", "url", "headers"),
    [
        ({"type": "github"}, {}, "https://github.com/me/x/archive/1.tar.gz", {}),
        (
            {"type": "github"},
            {"github.com": "t"},
            "https://api.github.com/repos/me/x/tarball/1",
            {"Authorization": "token t"},
        ),
        ({"type": "github", "host": "ghe.org"}, {}, "https://ghe.org/api/v3/repos/me/x/tarball/1", {}),
        (
            {"type": "gitlab", "owner": "a%2Fb"},
            {"gitlab.com": "PAT:t"},
            "https://gitlab.com/api/v4/projects/a%2Fb%2Fx/repository/archive.tar.gz?sha=1",
            {"Private-token": "t"},
        ),
        (
            {"type": "gitlab", "host": "g.org"},
            {"g.org": "OAuth2:t"},
            "https://g.org/api/v4/projects/me%2Fx/repository/archive.tar.gz?sha=1",
            {"Authorization": "Bearer t"},
        ),
        ({"type": "sourcehut", "owner": "~me"}, {}, "https://git.sr.ht/~me/x/archive/1.tar.gz", {}),
    ],
)
def test_where_forges_have_archives(
    locked: dict[str, str],
    tokens: dict[str, str],
    url: str,
    headers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    archive: tuple[bytes, str],
) -> None:
    asked: list[Any] = []

    def download(url: str, headers: dict[str, str], _login: object, to: Path, _limit: float) -> None:
        asked.append((url, headers))
        to.write_bytes(archive[0])

    monkeypatch.setattr(remote_input, "download", download)
    one = remote(archive[1], **{"owner": "me", "repo": "x", "rev": "1", **locked})
    assert fetched(one, Credentials(tokens)) == archive[1]
    assert asked == [(url, headers)]
    assert one.may_be_private(Credentials(tokens)) == bool(tokens)


@pytest.mark.parametrize(
    ("login", "key", "value"),
    [
        ("me:s3cret%2F", ".extraHeader", "Authorization: Basic bWU6czNjcmV0Lw=="),
        ("s3cret:", ".extraHeader", "Authorization: Basic czNjcmV0Og=="),
        # git's own helpers are asked for the password.
        ("s3cret", ".username", "s3cret"),
    ],
)
def test_git_has_no_login_among_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: str, key: str, value: str
) -> None:
    program = tmp_path / "git"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/arguments\nenv >>{tmp_path}/environment\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    url, into = f"https://{login}@example.org:7/x.git", tmp_path / "into"
    for fetch in (
        lambda: fetched(remote(type="git", url=url, rev="1" * 40)),
        lambda: fetch_git_flake(f"git+{url}", into, NOBODY, 30),
        lambda: fetch_history(f"git+{url}", "1" * 40, into, NOBODY, 30),
    ):
        with pytest.raises((FlakeError, GitError)) as error:
            fetch()
        assert "s3cret" not in str(error.value)
        arguments, environment = ((tmp_path / name).read_text() for name in ("arguments", "environment"))
        assert "s3cret" not in arguments
        settings = re.findall(r"GIT_CONFIG_(?:KEY|VALUE)_0=(.*)", environment)
        assert {f"{kind}.https://example.org:7/{key}" for kind in ("http", "credential")} & set(settings)
        assert value in settings
        (tmp_path / "environment").unlink()


@pytest.mark.parametrize(
    ("reference", "token", "login"),
    [
        ("github:me/x/1", "github.com/me=s3cret", "x-access-token:s3cret"),
        ("github:me/x?host=ghe.org", "ghe.org=s3cret", "x-access-token:s3cret"),
        ("github:me/x?host=ghe.org:8443", "ghe.org:8443=s3cret", "x-access-token:s3cret"),
        ("gitlab:me/x?host=ghe.org:8443", "ghe.org:8443=PAT:s3cret", "oauth2:s3cret"),
        ("gitlab:a%2Fb/x", "gitlab.com=PAT:s3cret", "oauth2:s3cret"),
        ("github:me/x", "github.com/you=s3cret", ""),
        ("git+https://github.com/me/x", "github.com=s3cret", ""),
    ],
)
def test_the_commits_of_a_flake_on_a_forge_are_fetched_with_its_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, token: str, login: str
) -> None:
    given: list[str] = []

    def run(_where: Path, environment: dict[str, str], _limit: float, *_arguments: str) -> tuple[int, list[str]]:
        given.append(environment.get("GIT_CONFIG_VALUE_0", ""))
        return 1, ["no"]

    monkeypatch.setattr(git_program, "run", run)
    monkeypatch.delenv("GIT_CONFIG_COUNT", raising=False)
    credentials = Credentials(dict([token.split("=", 1)]))
    with pytest.raises(FlakeError, match="no"):
        fetch_history(reference, "1" * 40, tmp_path / "into", credentials, 30)
    basic = base64.b64encode(login.encode()).decode()
    assert given == [f"Authorization: Basic {basic}" if login else ""]


def test_a_url_that_is_none_has_no_login(tmp_path: Path) -> None:
    """git says what is wrong with it."""
    assert git_login.without_login("https://[x/y") == "https://[x/y"
    assert not [name for name in git_login.environment(tmp_path, "https://[x/y", NOBODY) if "_KEY_" in name]


def test_a_login_of_a_netrc_file_is_for_every_port(tmp_path: Path) -> None:
    of_the_host, of_a_port = ("me", "a"), ("me", "b")
    credentials = Credentials(logins={"example.org": of_the_host, "example.org:8443": of_a_port})
    for url, login in (
        ("https://example.org/x", of_the_host),
        ("https://example.org:7/x", of_the_host),
        ("https://example.org:8443/x", of_a_port),
    ):
        basic = base64.b64encode(":".join(login).encode()).decode()
        assert f"Authorization: Basic {basic}" in git_login.environment(tmp_path, url, credentials).values()


@pytest.mark.parametrize(
    ("locked", "tokens", "private", "maybe"),
    [
        ({"type": "github"}, {}, False, False),
        # It is there to ask more often, and most of what is there is open to all.
        ({"type": "github"}, {"github.com": "t"}, False, True),
        ({"type": "gitlab"}, {"gitlab.com": "PAT:t"}, False, True),
        ({"type": "github"}, {"github.com/me": "t"}, True, True),
        ({"type": "github"}, {"github.com/me/x": "t"}, True, True),
        ({"type": "github"}, {"github.com/you": "t"}, False, False),
        ({"type": "github", "host": "ghe.org"}, {"ghe.org": "t"}, True, True),
        ({"type": "git", "url": "ssh://git@example.org/x"}, {}, True, True),
        ({"type": "git", "url": "https://token@example.org/x"}, {}, True, True),
        ({"type": "git", "url": "https://netrc.org/x"}, {}, True, True),
        ({"type": "tarball", "url": "https://example.org/x"}, {"example.org": "t"}, False, True),
    ],
)
def test_which_go_before_the_host_has_tried(
    locked: dict[str, str], tokens: dict[str, str], private: bool, maybe: bool
) -> None:
    one = remote("x", **{"owner": "me", "repo": "x", **locked})
    credentials = Credentials(tokens, {"netrc.org": ("a", "b")})
    assert (one.is_private(credentials), one.may_be_private(credentials)) == (private, maybe)


def test_other_types_are_nixs_matter() -> None:
    with pytest.raises(FlakeError, match="inputs of the type 'hg'"):
        fetched(remote(type="hg", url="https://example.org"))
    with pytest.raises(FlakeError, match="over 'ftp'"):
        fetched(remote(type="tarball", url="ftp://example.org/x"))


def test_it_is_fetched_once_for_all(server: HTTPServer, archive: tuple[bytes, str], tmp_path: Path) -> None:
    Handler.answers = {"/x": (200, archive[0])}
    one = remote(archive[1], type="tarball", url=f"http://127.0.0.1:{server.server_port}/x")
    first = shared_input(one, tmp_path, NOBODY, 30)
    assert shared_input(one, tmp_path, NOBODY, 30) == first
    assert len(Handler.asked) == 1
    unpacked = subprocess.run(["gzip", "-dc", str(first.file)], check=True, capture_output=True).stdout
    assert len(unpacked) == first.nar_size
    with take_snapshot(nar.directory_tree(tmp_path / "source"), tmp_path) as snapshot:
        assert hashlib.sha256(unpacked).digest() == hashlib.sha256(snapshot.nar.read()).digest()


def test_what_cannot_be_fetched_is_asked_for_once(server: HTTPServer, tmp_path: Path) -> None:
    one = remote("sha256-x", type="tarball", url=f"http://127.0.0.1:{server.server_port}/x")
    for _host in range(2):
        with pytest.raises(FlakeError, match="answers 404"):
            shared_input(one, tmp_path, NOBODY, 30)
    assert len(Handler.asked) == 1
    assert not list(tmp_path.glob("*.nar.gz"))
    # Somebody else may know the password.
    with pytest.raises(FlakeError, match="answers 404"):
        shared_input(one, tmp_path, Credentials(logins={"127.0.0.1": ("me", "x")}), 30)
    assert len(Handler.asked) == 2
