# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local flakes, in real git repositories, against values recorded from Nix 2.26.3.

The values are the `narHash` of `nix flake metadata --json REFERENCE`; dates and names are fixed, so that every
repository made here has the same commits as the one that Nix saw.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.git import commit_tree
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.local import (
    LocalFlake,
    LocalInputs,
    RemoteFlake,
    find_flake,
    local_inputs,
    remote_inputs,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.nar import RegularFile
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.shared import unlocked_of

DATE = 1767323045
# git+file:///…/repo, and with ?rev=…, both of the clean repository; and of the changed one
CLEAN = "sha256-OeBjw1yfyLAbey5iUK/tYr85eAQr10cEravSiPnvgXw="
CLEAN_REVISION = "7f4e6ee155d0fe71ebb1fe8d8580c3e596abf92d"
DIRTY = "sha256-dsNBDQGnV6VUzPZqo6zCquTugcKSVgSAodFHzoHYe5Y="
# git+file:///…/super?rev=…, ?submodules=1, and git+file:///…/super as a work tree
SUPER_COMMIT = "sha256-F9jvtW/p4dVoGSB6VcLHl0FXn5kyR9lDWxS3fUURQpQ="
SUPER_WITH_SUBMODULES = "sha256-UGmC9q5TtWYeToADdpu+Tj90+yDeraBEf3Lf5IJZ52Q="
SUPER = "sha256-0z74ZXQnLnyJgpxHoihcwm+Vrf9QqpsOV6OEZ3gwSss="


@pytest.fixture(autouse=True)
def _settled_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own configuration of git must not matter, and commits must be the same ones every time."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
        monkeypatch.setenv(f"GIT_{role}_DATE", "2026-01-02T03:04:05Z")


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def make(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def commit_all(root: Path, message: str) -> None:
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", message)


def find(reference: str, cwd: Path) -> LocalFlake:
    flake = find_flake(reference, cwd)
    assert isinstance(flake, LocalFlake)
    return flake


def nar_hash(flake: LocalFlake) -> str:
    with flake.snapshot() as snapshot:
        return snapshot.nar_hash


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with an executable, a link, a name that is not UTF-8, an ignored file and attributes of git."""
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    flake = "{ outputs = self: { }; }\n"
    make(root, {"flake.nix": flake, "sub/flake.nix": flake, "hosts/web.nix": "web\n", "hosts/db.nix": "db\n"})
    make(root, {"run": "#!/bin/sh\n", os.fsdecode(b"caf\xe9"): "x", "ignored": "secret\n", ".gitignore": "ignored\n"})
    make(root, {".gitattributes": "*.nix text eol=crlf\nrun export-ignore\n"})
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("hosts/web.nix")
    commit_all(root, "one")
    return root


@pytest.fixture
def super_repo(tmp_path: Path) -> Path:
    """A repository with a submodule."""
    flake = "{ outputs = { self }: { inherit (self) rev revCount lastModified %s; }; }\n"
    make(tmp_path / "lib", {"flake.nix": flake.replace(" %s", " sourceInfo")})
    git(tmp_path / "lib", "init", "-q", "-b", "main")
    commit_all(tmp_path / "lib", "lib")
    root = tmp_path / "super"
    make(root, {"flake.nix": flake.replace("%s", ""), "hosts/flake.nix": flake.replace("%s", "")})
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "submodule", "--quiet", "add", "../lib", "lib")
    git(root, "commit", "-q", "-m", "super")
    return root


class TestGitWorkTree:
    def test_clean(self, repo: Path) -> None:
        flake = find(".", repo)
        assert flake == LocalFlake(repo, "", CLEAN_REVISION, False, DATE, 1, ())
        with flake.snapshot() as snapshot:
            assert snapshot.nar_hash == CLEAN
            assert snapshot.store_path == "/nix/store/yxa22ck0a34qgw5bfc1jiy9na3gpfgyy-source"
            assert len(snapshot.nar.read()) == snapshot.nar_size == 2320
            assert flake.locked_reference(snapshot) == (
                "path:/nix/store/yxa22ck0a34qgw5bfc1jiy9na3gpfgyy-source"
                "?narHash=sha256-OeBjw1yfyLAbey5iUK%2FtYr85eAQr10cEravSiPnvgXw%3D"
                f"&lastModified={DATE}&rev={CLEAN_REVISION}&revCount=1"
            )
        assert snapshot.nar.closed

    def test_dirty(self, repo: Path) -> None:
        make(repo, {"hosts/web.nix": "changed\n", "added.nix": "new\n", "untracked.nix": "u\n", "notes.txt": ""})
        (repo / "hosts" / "db.nix").unlink()
        (repo / "link").unlink()
        (repo / "link").write_text("was a link\n")
        git(repo, "add", "-N", "added.nix")
        git(repo, "rm", "-q", "--cached", "run")
        (repo / os.fsdecode(b"caf\xe9")).chmod(0o755)
        flake = find(".", repo)
        assert flake == LocalFlake(repo, "", None, True, DATE, None, ("untracked.nix",), CLEAN_REVISION)
        assert flake.dirty_revision == f"{CLEAN_REVISION}-dirty"
        with flake.snapshot() as snapshot:
            assert snapshot.nar_hash == DIRTY
            assert flake.locked_reference(snapshot).endswith(f"&lastModified={DATE}")

    def test_flake_in_a_sub_directory(self, repo: Path) -> None:
        for reference, cwd in (
            ("./sub", repo),
            ("../sub", repo / "hosts"),
            (f"{repo}/sub/", Path("/")),
            (".?dir=sub", repo),
            ("git+file:.?dir=/sub/", repo),
            (f"git+file://{repo}?dir=./sub", Path("/")),
        ):
            flake = find(reference, cwd)
            assert (flake.root, flake.directory, nar_hash(flake)) == (repo, "sub", CLEAN)
            with flake.snapshot() as snapshot:
                assert flake.locked_reference(snapshot).endswith("&dir=sub")

    def test_the_search_goes_up_to_the_root_of_the_work_tree(self, repo: Path) -> None:
        assert find(".", repo / "hosts").directory == ""
        assert find("./flake.nix", repo).directory == ""
        git(repo, "rm", "-q", "flake.nix")
        make(repo.parent, {"flake.nix": "{ }"})
        with pytest.raises(
            FlakeError, match=rf"no flake\.nix in {repo}/hosts nor in a directory above it up to {repo}"
        ):
            find(".", repo / "hosts")

    def test_an_untracked_flake(self, repo: Path) -> None:
        make(repo, {"new host/flake.nix": "{ }"})
        with pytest.raises(FlakeError, match=rf"git does not track it.* git -C {repo} add 'new host/flake\.nix'$"):
            find("./new host", repo)

    def test_an_untracked_lock_file_is_told(self, repo: Path) -> None:
        make(repo, {"sub/flake.lock": "{}", "flake.lock": "{}", "ignored": "", "deep/er/x.nix": ""})
        assert find("./sub", repo).untracked_nix_files == ("deep/er/x.nix", "sub/flake.lock")

    def test_before_the_first_commit(self, tmp_path: Path) -> None:
        git(tmp_path, "init", "-q")
        make(tmp_path, {"flake.nix": "{ }"})
        git(tmp_path, "add", ".")
        assert find(".", tmp_path) == LocalFlake(tmp_path, dirty=True)

    def test_a_linked_work_tree(self, repo: Path) -> None:
        git(repo, "worktree", "add", "-q", "--detach", "../linked")
        flake = find("../linked", repo)
        assert (flake.root, flake.revision) == (repo.parent / "linked", CLEAN_REVISION)
        # The checkout wrote other line ends than git stored, and they are what Nix sees.
        assert nar_hash(flake) != nar_hash(find("git+file:../linked?ref=HEAD", repo)) == CLEAN

    def test_a_shallow_clone(self, repo: Path) -> None:
        git(repo, "commit", "-q", "--allow-empty", "-m", "two")
        assert find(".", repo).revision_count == 2
        git(repo, "clone", "-q", "--depth=1", f"file://{repo}", "../shallow")
        assert find("../shallow", repo).revision_count is None

    def test_a_sparse_checkout_is_dirty(self, repo: Path) -> None:
        git(repo, "sparse-checkout", "set", "sub")
        assert not (repo / "hosts").exists()
        assert find(".", repo).dirty

    def test_a_conflict(self, repo: Path) -> None:
        git(repo, "checkout", "-q", "-b", "other")
        make(repo, {"hosts/web.nix": "other\n"})
        commit_all(repo, "other")
        git(repo, "checkout", "-q", "main")
        make(repo, {"hosts/web.nix": "main\n"})
        commit_all(repo, "main")
        with pytest.raises(subprocess.CalledProcessError):
            git(repo, "merge", "-q", "other")
        flake = find(".", repo)
        assert flake.dirty
        assert nar_hash(flake)

    def test_a_directory_that_became_a_link(self, repo: Path) -> None:
        (repo / "hosts").rename(repo.parent / "elsewhere")
        (repo / "hosts").symlink_to("../elsewhere")
        flake = find(".", repo)
        assert flake.dirty
        with flake.snapshot() as snapshot:
            assert b"db.nix" not in snapshot.nar.read()

    def test_the_index_is_not_written(self, repo: Path) -> None:
        os.utime(repo / "flake.nix", (1, 1))
        before = (repo / ".git" / "index").read_bytes()
        assert not find(".", repo).dirty
        assert (repo / ".git" / "index").read_bytes() == before


class TestSubmodules:
    def test_left_out_by_default(self, super_repo: Path) -> None:
        assert nar_hash(find(".", super_repo)) == SUPER

    def test_asked_for(self, super_repo: Path) -> None:
        flake = find("git+file:.?submodules=1", super_repo)
        assert (nar_hash(flake), flake.dirty) == (SUPER_WITH_SUBMODULES, False)
        make(super_repo, {"lib/flake.nix": "{ }"})
        assert find(".?submodules=1", super_repo).dirty
        assert not find(".", super_repo).dirty

    def test_another_commit_than_the_recorded_one(self, super_repo: Path) -> None:
        git(super_repo / "lib", "commit", "-q", "--allow-empty", "-m", "two")
        assert find(".?submodules=1", super_repo).dirty

    def test_not_checked_out(self, super_repo: Path) -> None:
        git(super_repo, "submodule", "deinit", "-q", "-f", "lib")
        with pytest.raises(FlakeError, match=r"lib is not checked out; run 'git submodule update --init"):
            find(".?submodules=1", super_repo)

    def test_a_submodule_is_a_flake(self, super_repo: Path) -> None:
        flake = find(".", super_repo / "lib")
        assert (flake.root, flake.directory) == (super_repo / "lib", "")

    def test_empty_directories_in_a_commit(self, super_repo: Path) -> None:
        assert nar_hash(find("git+file:.?ref=HEAD", super_repo)) == SUPER_COMMIT
        with pytest.raises(FlakeError, match="submodules of a commit"):
            find("git+file:.?ref=HEAD&submodules=1", super_repo)


class TestCommits:
    def test_what_git_stored(self, repo: Path) -> None:
        make(repo, {"hosts/web.nix": "changed\n", "untracked.nix": ""})
        git(repo, "tag", "v1")
        for query in (
            f"rev={CLEAN_REVISION}",
            "ref=main",
            "ref=refs/heads/main",
            "ref=v1",
            f"ref=main&rev={CLEAN_REVISION}",
        ):
            flake = find(f"git+file:.?{query}", repo)
            assert flake == LocalFlake(repo, "", CLEAN_REVISION, False, DATE, 1, ())
            assert nar_hash(flake) == CLEAN

    def test_a_bare_repository(self, repo: Path) -> None:
        git(repo, "clone", "-q", "--bare", ".", "../bare.git")
        assert nar_hash(find("git+file:../bare.git?dir=sub", repo)) == CLEAN

    @pytest.mark.parametrize("query", ["ref=nope", f"rev={'0' * 40}", "ref=--help", "rev=-n"])
    def test_unknown_ones(self, repo: Path, query: str) -> None:
        with pytest.raises(FlakeError, match=r"cannot be copied: git cannot read .*: (bad|ambiguous|unknown)"):
            find(f"git+file:.?{query}", repo)

    def test_no_flake_in_it(self, repo: Path) -> None:
        git(repo, "rm", "-q", "-r", ".")
        git(repo, "commit", "-q", "-m", "nothing left")
        make(repo, {"flake.nix": ""})
        with pytest.raises(FlakeError, match=r"no flake\.nix in .* in the commit [0-9a-f]{40}"):
            find("git+file:.?ref=HEAD", repo)


class TestGitTroubles:
    def test_another_users_repository(self, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        with pytest.raises(FlakeError, match=rf"'git config --global --add safe\.directory {repo}'") as refused:
            find(".", repo)
        variables = re.findall(r"(GIT_CONFIG_\w+)=(\S+)", str(refused.value))
        assert len(variables) == 3
        for name, value in variables:
            monkeypatch.setenv(name, value)
        assert find(".", repo).root == repo

    def test_no_git(self, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(repo / "hosts"))
        with pytest.raises(FlakeError, match=rf"Install git, or give 'path:{repo}'"):
            find(".", repo)
        assert find(f"path:{repo}", Path("/")).revision is None

    @pytest.mark.parametrize("content", [None, "gitdir: /nowhere\n"])
    def test_a_broken_repository(self, tmp_path: Path, content: str | None) -> None:
        git(tmp_path, "init", "-q")
        root = tmp_path / "inner"
        make(root, {"flake.nix": "{ }"})
        if content is None:
            (root / ".git").mkdir()
        else:
            (root / ".git").write_text(content)
        with pytest.raises(FlakeError, match=rf"git cannot read {root}: not a git repository"):
            find(".", root)

    def test_called_from_a_git_hook(self, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        git(tmp_path, "init", "-q", "other")
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
        monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
        monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / ".git" / "index"))
        assert nar_hash(find(".", repo)) == CLEAN

    def test_a_file_system_monitor_is_not_run(self, repo: Path) -> None:
        make(repo.parent, {"monitor": f"#!/bin/sh\ntouch {repo.parent}/was-run\n"})
        (repo.parent / "monitor").chmod(0o755)
        git(repo, "config", "core.fsmonitor", f"{repo.parent}/monitor")
        assert nar_hash(find(".", repo)) == CLEAN
        assert not (repo.parent / "was-run").exists()


class TestDirectories:
    def test_the_whole_directory(self, tmp_path: Path) -> None:
        root = tmp_path / "a b%20c"
        make(root, {"flake.nix": "{ }", "sub/x": ""})
        for path in (root, root / "flake.nix", root / "sub" / "x", root / "sub"):
            os.utime(path, (5000, 5000))
        os.utime(root / "sub" / "x", (6000, 6000))
        for reference in (
            "./a b%20c",
            f"{root}",
            "path:a b%2520c",
            "path:./a%20b%2520c",
            f"path://{tmp_path}/a%20b%2520c",
        ):
            flake = find(reference, tmp_path)
            assert flake == LocalFlake(root, last_modified=6000)
            with flake.snapshot() as snapshot:
                assert flake.locked_reference(snapshot).endswith("&lastModified=6000")

    def test_a_git_work_tree_as_it_is(self, repo: Path) -> None:
        flake = find("path:.", repo)
        assert (flake.revision, flake.dirty) == (None, False)
        with flake.snapshot() as snapshot:
            assert b"secret" in snapshot.nar.read()

    def test_the_home_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make(tmp_path / "nixos", {"flake.nix": "{ }"})
        monkeypatch.setenv("HOME", str(tmp_path))
        assert find("~/nixos", Path("/")).root == tmp_path / "nixos"
        with pytest.raises(FlakeError, match="no home directory for '~nobody-of-that-name/x'"):
            find("~nobody-of-that-name/x", Path("/"))

    def test_through_a_link(self, tmp_path: Path) -> None:
        make(tmp_path / "real", {"flake.nix": "{ }"})
        (tmp_path / "link").symlink_to("real")
        assert find("./link", tmp_path).root == tmp_path / "real"

    def test_dir(self, tmp_path: Path) -> None:
        make(tmp_path, {"flakes/web server/flake.nix": "{ }"})
        flake = find("./flakes?dir=web%20server", tmp_path)
        assert (flake.root, flake.directory) == (tmp_path / "flakes", "web server")
        with flake.snapshot() as snapshot:
            assert flake.locked_reference(snapshot).endswith("&dir=web%20server")

    def test_a_special_file(self, tmp_path: Path) -> None:
        make(tmp_path, {"flake.nix": "{ }"})
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FlakeError, match=r"cannot be copied: .*/pipe is a named pipe"):
            find(".", tmp_path)

    def test_a_change_while_it_is_read(self, tmp_path: Path) -> None:
        make(tmp_path, {"flake.nix": "{ }"})
        flake = find(".", tmp_path)
        make(tmp_path, {"flake.nix": "{ outputs = _: { }; }"})
        with pytest.raises(FlakeError, match=r"flake\.nix became longer"):
            flake.snapshot()


class TestReferences:
    @pytest.mark.parametrize(
        "reference",
        ["nixpkgs", "nixpkgs/nixos-25.05", "hosts", "flake:hosts", "github:a/b", "github:a/b?dir=c", "git+https://h/r",
         "git+ssh://git@h/r", "https://h/r.tar.gz", "tarball+https://h/r", "gitlab:a/b", "sourcehut:~a/b", "git://h/r"],
    )  # fmt: skip
    def test_remote_ones(self, tmp_path: Path, reference: str) -> None:
        assert find_flake(reference, tmp_path) == RemoteFlake(reference)

    @pytest.mark.parametrize(
        ("reference", "message"),
        [
            ("", "is empty"),
            (" ", "is empty"),
            ("a\0b", "is empty"),
            (".#web", r"must not have a part after '#'"),
            ("./nope", r"'./nope' does not exist: there is no directory /.*/nope on this machine"),
            ("-x", r"'-x' does not exist"),
            ("./file", r"is not a directory but a file"),
            (".", r"there is no flake\.nix in /"),
            ("path:.", r"there is no flake\.nix in /"),
            (".?dir=x", r"there is no flake\.nix in /.*/x;"),
            ("path:.?dir=../x", r"leads out of the flake"),
            ("path:.?narHash=x", r"parameter 'narHash'; for a flake on this machine there are only dir"),
            ("git+file:.?narHash=x", r"parameter 'narHash'.* only allRefs, dir, lfs, ref, rev, shallow, submodules"),
            ("git+file:.", r"not a git repository"),
            ("git+file://host/x", r"has a host in it"),
            ("path:x%00y", r"has a NUL character in it"),
            ("hg+file:.", r"give 'path:…' or 'git\+file:…'"),
            ("file:./x.tar.gz", r"give 'path:…' or 'git\+file:…'"),
            ("tarball+file:///x.tar.gz", r"give 'path:…' or 'git\+file:…'"),
            ("directory", r"Write './directory' for the directory or 'flake:directory' for the registry entry"),
        ],
    )
    def test_bad_ones(self, tmp_path: Path, reference: str, message: str) -> None:
        make(tmp_path, {"file": "", "directory/x": ""})
        with pytest.raises(FlakeError, match=message):
            find_flake(reference, tmp_path)


class TestOtherFiles:
    """Trees that need not be flakes, of which another file is evaluated."""

    def find(self, reference: str, cwd: Path, entry: str) -> LocalFlake:
        found = find_flake(reference, cwd, entry)
        assert isinstance(found, LocalFlake)
        return found

    def test_a_directory(self, tmp_path: Path) -> None:
        make(tmp_path / "hosts", {"web/default.nix": "{ }"})
        (tmp_path / "hosts/link").symlink_to("web")
        for reference, entry in (("./hosts", "web/default.nix"), ("path:hosts", "link/default.nix")):
            flake = self.find(reference, tmp_path, entry)
            assert (flake.root, flake.directory, flake.entry) == (tmp_path / "hosts", "", entry)

    def test_a_git_work_tree(self, repo: Path) -> None:
        """The whole of it is copied, and the file is where it is said to be: nobody looks above that."""
        for reference, entry, directory in ((".", "hosts/web.nix", ""), ("./hosts", "web.nix", "hosts")):
            flake = self.find(reference, repo, entry)
            assert (flake.root, flake.directory, flake.revision) == (repo, directory, CLEAN_REVISION)
            assert nar_hash(flake) == CLEAN
        commit = self.find(f"git+file:.?rev={CLEAN_REVISION}", repo, "hosts/web.nix")
        assert (commit.revision, commit.entry) == (CLEAN_REVISION, "hosts/web.nix")

    def test_a_lock_file_beside_it_means_nothing(self, repo: Path) -> None:
        make(repo, {"flake.nix": '{ inputs.x.url = "github:a/b"; outputs = _: { }; }', "flake.lock": "no JSON"})
        git(repo, "add", "flake.lock")
        assert local_inputs(self.find(".", repo, "hosts/web.nix")) == LocalInputs()
        assert unlocked_of(self.find(".", repo, "hosts/web.nix")) == ()

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            (
                "nowhere.nix",
                r"there is no nowhere\.nix in /.*; 'file' \(deploy_flake_file\) is a path in the directory",
            ),
            ("untracked.nix", r"untracked\.nix exists, but git does not track it.* add untracked\.nix$"),
            ("hosts", r"/hosts is a directory; name the file in it"),
        ],
    )
    def test_what_is_not_there(self, repo: Path, entry: str, message: str) -> None:
        make(repo, {"untracked.nix": "{ }"})
        with pytest.raises(FlakeError, match=message):
            self.find(".", repo, entry)

    def test_what_is_not_in_a_directory(self, tmp_path: Path) -> None:
        make(tmp_path, {"hosts/x": ""})
        for entry, message in (("hosts", "is a directory"), ("default.nix", "there is no default.nix in")):
            with pytest.raises(FlakeError, match=message):
                self.find("path:.", tmp_path, entry)


class TestLocalInputs:
    @pytest.fixture
    def locked(self, repo: Path) -> Path:
        """A flake whose lock file is as Nix writes it: two local inputs, one relative, one remote."""
        make(repo.parent, {"input/flake.nix": '{ outputs = _: { v = "path"; }; }\n'})
        nodes: dict[str, object] = {
            "a": {"locked": {"type": "path", "path": f"{repo.parent}/input", "lastModified": 1795375821,
                             "narHash": "sha256-DUERUuB5RwT6QgVHGZZCqq8z4U0m0lHMo2TIHKlZIY4="}},
            "b": {"flake": False, "locked": {"type": "git", "url": f"file://{repo}", "ref": "refs/heads/main",
                                             "rev": CLEAN_REVISION, "narHash": CLEAN, "revCount": 1}},
            "c": {"locked": {"type": "path", "path": "./c"}, "parent": []},
            "d": {"locked": {"type": "github", "owner": "o", "repo": "r", "rev": CLEAN_REVISION, "narHash": CLEAN}},
            "e": {"locked": {"type": "git", "url": "https://h/r", "rev": CLEAN_REVISION, "narHash": CLEAN}},
            "root": {"inputs": {"a": "a", "b": "b", "c": "c", "d": "d", "e": "e"}},
        }  # fmt: skip
        root = repo.parent / "locked"
        make(root, {"flake.nix": "{ }", "flake.lock": json.dumps({"nodes": nodes, "root": "root", "version": 7})})
        return root

    def test_found(self, repo: Path, locked: Path) -> None:
        inputs = local_inputs(find(".", locked))
        assert not inputs.left_out
        path, commit = inputs.found
        assert (path.name, path.store_path) == ("a", "/nix/store/g8dsarzwmxfgqyg431mxfwfzf0f9lbnf-source")
        assert (commit.name, commit.store_path) == ("b", "/nix/store/yxa22ck0a34qgw5bfc1jiy9na3gpfgyy-source")
        # What is locked is the commit: the work tree may have moved on.
        make(repo, {"hosts/web.nix": "changed\n"})
        for found in inputs.found:
            with found.snapshot() as snapshot:
                assert (snapshot.nar_hash, snapshot.store_path) == (found.nar_hash, found.store_path)

    def test_changed_since(self, locked: Path) -> None:
        path, _commit = local_inputs(find(".", locked)).found
        make(locked.parent, {"input/flake.nix": "{ }"})
        with pytest.raises(
            FlakeError, match=r"input 'a' \(path:.*is not what the lock file says.*'nix flake update a'"
        ):
            path.snapshot()

    def test_gone(self, repo: Path, locked: Path) -> None:
        shutil.rmtree(locked.parent / "input")
        shutil.rmtree(repo / ".git")
        inputs = local_inputs(find(".", locked))
        assert inputs.left_out == {"a": f"there is no {locked.parent}/input on this machine"}
        with pytest.raises(FlakeError, match=r"input 'b' \(git\+file:.*not a git repository"):
            inputs.found[0].snapshot()

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"narHash": None}, "no narHash"),
            ({"rev": None}, "locked to a dirty git tree"),
            ({"submodules": True}, "submodules"),
            ({"url": "file:./relative"}, "there is no ./relative"),
            ({"url": "file://host/x"}, "has a host in it"),
            ({"narHash": "sha512-x"}, "is not a SHA-256 hash"),
        ],
    )
    def test_left_out(self, locked: Path, change: dict[str, object], reason: str) -> None:
        lock = json.loads((locked / "flake.lock").read_text())
        values = {**lock["nodes"]["b"]["locked"], **change}
        lock["nodes"]["b"]["locked"] = {name: value for name, value in values.items() if value is not None}
        make(locked, {"flake.lock": json.dumps(lock)})
        inputs = local_inputs(find(".", locked))
        assert [found.name for found in inputs.found] == ["a"]
        assert reason in inputs.left_out["b"]

    def test_a_file_is_an_input_too(self, tmp_path: Path) -> None:
        locked = {
            "type": "path",
            "path": f"{tmp_path}/one",
            "narHash": "sha256-TnI/jVWlEufksMQhVNfUu+K1IDaXYZ6TtFRS8aqHE04=",
        }
        make(tmp_path, {"one": "only a file\n", "flake/flake.nix": "{ }"})
        make(tmp_path, {"flake/flake.lock": json.dumps({"nodes": {"one": {"flake": False, "locked": locked}}})})
        (found,) = local_inputs(find("./flake", tmp_path)).found
        with found.snapshot() as snapshot:
            assert snapshot.nar_hash == locked["narHash"]

    def test_no_lock_file(self, repo: Path) -> None:
        assert local_inputs(find(".", repo)).found == ()

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "null", "{}", '{"nodes": []}', '{"nodes": {"a": 1}}', '{"nodes": {"a": {"locked": 1}}}',
         '{"nodes": {"a": {"locked": {}}}}', "\udcff", "<<<<<<< HEAD\n{}"],
    )  # fmt: skip
    def test_a_malformed_lock_file(self, tmp_path: Path, text: str) -> None:
        make(tmp_path, {"sub/flake.nix": "{ }"})
        (tmp_path / "sub" / "flake.lock").write_bytes(os.fsencode(text))
        with pytest.raises(FlakeError, match=r"sub/flake\.lock is not a lock file that Nix wrote"):
            local_inputs(find("path:.?dir=sub", tmp_path))

    @pytest.mark.parametrize(
        "locked",
        [
            {"type": "tarball", "url": "https://[x/y"},
            {"type": "git", "url": "https://me:s3cret@[x/y"},
            {"type": "gitlab", "host": "[x"},
        ],
    )
    def test_a_url_that_is_none(self, tmp_path: Path, locked: dict[str, str]) -> None:
        lock = json.dumps({"nodes": {"one": {"locked": {**locked, "narHash": f"sha256-{'A' * 43}="}}}})
        make(tmp_path, {"flake.nix": "{ }", "flake.lock": lock})
        for read in (
            lambda: local_inputs(find("path:.", tmp_path)),
            lambda: remote_inputs(lock.encode(), "flake.lock"),
        ):
            with pytest.raises(FlakeError, match=r"flake\.lock: input 'one' has a URL that is none: ") as error:
                read()
            assert "[x" in str(error.value)
            assert "s3cret" not in str(error.value)


def test_a_content_that_git_has_lost(repo: Path) -> None:
    flake = find(f"git+file://{repo}?ref=HEAD", repo)
    blob = git(repo, "rev-parse", "HEAD:flake.nix")
    (repo / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(FlakeError, match=f"git has lost the content {blob} in .*; run 'git fsck' there"):
        flake.snapshot()


@pytest.mark.parametrize("said", ["", "name blob 30\n{"])
def test_git_that_ends_while_it_is_read(repo: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Before it has said anything, and within a content, of which no part is taken for the whole."""
    start = subprocess.Popen

    def ends(command: list[str], **named: Any) -> Any:
        process = start(["printf", said] if "--batch" in command else command, **named)
        if "--batch" in command:
            process.wait()
        return process

    monkeypatch.setattr(subprocess, "Popen", ends)
    with pytest.raises(FlakeError, match="git ended while it was reading"):
        find(f"git+file://{repo}?ref=HEAD", repo).snapshot()


def test_contents_of_a_commit_that_are_read_in_turn(repo: Path) -> None:
    """They come out of one pipe: one that is not read to its end, or closed before, must not be taken for another."""
    contents = {"a": "a" * 300_000, "b": "b" * 200_000, "c": "c\n"}
    make(repo, contents)
    git(repo, "add", ".")
    git(repo, "commit", "--quiet", "-m", "a")
    entries = commit_tree(repo, git(repo, "rev-parse", "HEAD")).entries
    files = {name: cast(RegularFile, entries[name.encode()]).open() for name in ("a", "b")}
    assert files["a"].read(3) == b"aaa"
    assert files["b"].read(200_000) == contents["b"].encode()
    files["b"].close()
    half = cast(RegularFile, entries[b"b"]).open()
    assert half.read(10) == b"b" * 10
    half.close()
    assert cast(RegularFile, entries[b"c"]).open().read() == b"c\n"
    assert files["a"].read() == contents["a"].encode()[3:]
    assert files["a"].read(1) == files["b"].read(1) == b""
