# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a flake asks of its own source: submodules and Git LFS, in flake.nix or in the reference.

The hashes are those of Nix 2.26.3 (`nix flake metadata --json REFERENCE`, each time with an empty cache).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake import nar
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.local import LocalFlake, find_flake
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError

PLAIN = "{ outputs = self: { }; }\n"
# Of flake.nix alone, and with an empty directory `inner` beside it.
ALONE = "sha256-c3u+xfnaD9S5WGFvMVzC++JqKbfALEYV4FoTNnBbbNE="
WITH_DIRECTORY = "sha256-/sbTBD0JoUX+FsZZuVS+iAf+v18JsJXXbmIXxIWvLtI="
CONTENT = b"a large picture\n"
OID = hashlib.sha256(CONTENT).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(CONTENT)}\n"


@pytest.fixture(autouse=True)
def _settled_git(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
    command = ["git", *identity, "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path, **files: str) -> None:
    for name, content in files.items():
        (root / name.replace("_", ".")).write_text(content)
    git(root, "add", ".")
    git(root, "commit", "-q", "--allow-empty", "-m", "x")


def repository(root: Path, **files: str) -> Path:
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    commit(root, **files)
    return root


def find(reference: str) -> LocalFlake:
    found = find_flake(reference, Path("/"))
    assert isinstance(found, LocalFlake)
    return found


def nar_hash(reference: str) -> str:
    with find(reference).snapshot() as snapshot:
        return snapshot.nar_hash


def content(flake: LocalFlake, path: str) -> bytes | None:
    """What a file of a flake holds; None if there is none."""
    file = nar.find(flake.tree, path.encode())
    return nar.read(file) if isinstance(file, nar.RegularFile) else None


@pytest.fixture
def with_submodule(tmp_path: Path) -> Path:
    """A flake with one submodule, `lib`, which has one, `deep`."""
    repository(tmp_path / "deep", file="deep\n")
    inner = repository(tmp_path / "lib", file="lib\n")
    git(inner, "submodule", "--quiet", "add", str(tmp_path / "deep"), "deep")
    commit(inner)
    root = repository(tmp_path / "super", flake_nix=PLAIN)
    git(root, "submodule", "--quiet", "add", str(inner), "lib")
    git(root, "submodule", "--quiet", "update", "--init", "--recursive")
    commit(root)
    return root


@pytest.mark.parametrize(
    "text",
    [
        "{ inputs.self.submodules = true; outputs = self: { }; }",
        "{ inputs = { self = { submodules = true; }; }; outputs = { self }: { }; }",
        '{ inputs."self".submodules = true; inputs.x.url = "path:/x"; outputs = { self, x }: { }; }',
    ],
)
def test_flake_nix_asks_for_submodules(with_submodule: Path, text: str) -> None:
    assert find(str(with_submodule)).left_out == ("lib",)
    commit(with_submodule, flake_nix=text)
    flake = find(str(with_submodule))
    assert (content(flake, "lib/file"), content(flake, "lib/deep/file")) == (b"lib\n", b"deep\n")
    assert (flake.left_out, flake.dirty) == ((), False)
    git(with_submodule, "submodule", "--quiet", "deinit", "--force", "--all")
    with pytest.raises(FlakeError, match="lib is not checked out; run 'git submodule update"):
        find(str(with_submodule))
    # Of a commit they cannot be had.
    with pytest.raises(FlakeError, match="submodules of a commit, which cannot be copied"):
        find(f"git+file:{with_submodule}?ref=main")


@pytest.mark.parametrize("target", ["nix/flake.nix", "./nix/../lib.nix/../nix/flake.nix", "link/flake.nix"])
def test_flake_nix_may_be_a_link(with_submodule: Path, target: str) -> None:
    for name in ("nix", "lib.nix"):
        (with_submodule / name).mkdir()
        (with_submodule / name / "file").write_text("x")
    (with_submodule / "nix/flake.nix").write_text("{ inputs.self.submodules = true; outputs = self: { }; }")
    (with_submodule / "link").symlink_to("nix")
    (with_submodule / "flake.nix").unlink()
    (with_submodule / "flake.nix").symlink_to(target)
    commit(with_submodule)
    assert content(find(str(with_submodule)), "lib/file") == b"lib\n"


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "flake.nix", "nowhere"])
def test_a_link_that_leads_nowhere_asks_for_nothing(with_submodule: Path, target: str) -> None:
    (with_submodule / "flake.nix").unlink()
    (with_submodule / "flake.nix").symlink_to(target)
    commit(with_submodule)
    assert find(str(with_submodule)).left_out == ("lib",)


def test_flake_nix_goes_before_the_reference(with_submodule: Path) -> None:
    commit(with_submodule, flake_nix="{ inputs.self.submodules = false; outputs = self: { }; }")
    flake = find(f"git+file:{with_submodule}?submodules=1")
    assert (content(flake, "lib/file"), flake.left_out) == (None, ("lib",))


@pytest.mark.parametrize(
    "text",
    [
        "{ inputs = { inherit (x) self; self.submodules = true; }; outputs = self: { }; }",
        "let a = 1; in { inputs.self.lfs = true; }",
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    root = repository(tmp_path / "flake", flake_nix=text)
    with pytest.raises(FlakeError, match="in a form that only Nix can read"):
        find(str(root))


def test_submodules_of_a_commit_are_named(with_submodule: Path) -> None:
    assert find(f"git+file:{with_submodule}?ref=main").left_out == ("lib",)


@pytest.mark.parametrize("checked_out", [True, False])
@pytest.mark.parametrize(
    ("query", "expected"),
    [("", ALONE), ("?submodules=1", ALONE), ("?ref=main", WITH_DIRECTORY), ("?ref=main&submodules=1", WITH_DIRECTORY)],
)
def test_a_repository_that_gitmodules_does_not_name(
    tmp_path: Path, query: str, expected: str, checked_out: bool
) -> None:
    root = repository(tmp_path / "super", flake_nix=PLAIN)
    repository(root / "inner", file="inner\n")
    commit(root)
    if not checked_out:
        git(tmp_path, "clone", "-q", "super", "clone")
        root = tmp_path / "clone"
    assert nar_hash(f"git+file://{root}{query}") == expected
    assert find(f"git+file://{root}{query}").left_out == ("inner",)


@pytest.fixture
def with_lfs(tmp_path: Path) -> Path:
    """A flake whose commit has pointers, and whose files are pointers as well."""
    attributes = "*.png filter=lfs diff=lfs merge=lfs -text\n"
    root = tmp_path / "lfs"
    return repository(
        root, flake_nix=PLAIN, a_png=POINTER, b_png="no pointer\n", c_txt=POINTER, _gitattributes=attributes
    )


def fetch(root: Path, storage: str = ".git/lfs") -> None:
    """As `git lfs fetch`."""
    file = root / storage / "objects" / OID[:2] / OID[2:4] / OID
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)


def test_lfs_of_a_commit(with_lfs: Path) -> None:
    assert content(find(f"git+file:{with_lfs}?ref=main"), "a.png") == POINTER.encode()
    with pytest.raises(
        FlakeError, match=r"only the pointers are there: a\.png; run 'git -C .* lfs fetch origin [0-9a-f]{40}'"
    ):
        find(f"git+file:{with_lfs}?ref=main&lfs=1")
    fetch(with_lfs)
    flake = find(f"git+file:{with_lfs}?ref=main&lfs=1")
    assert content(flake, "a.png") == CONTENT
    # What is no pointer, or has no such attribute, is what it is.
    assert (content(flake, "b.png"), content(flake, "c.txt")) == (b"no pointer\n", POINTER.encode())
    with flake.snapshot() as snapshot:
        assert CONTENT in snapshot.nar.read()
    commit(with_lfs, flake_nix="{ inputs.self.lfs = true; outputs = self: { }; }")
    assert content(find(f"git+file:{with_lfs}?ref=main"), "a.png") == CONTENT


def test_lfs_that_is_kept_elsewhere(with_lfs: Path, tmp_path: Path) -> None:
    git(with_lfs, "config", "lfs.storage", str(tmp_path / "kept"))
    fetch(with_lfs, str(tmp_path / "kept"))
    assert content(find(f"git+file:{with_lfs}?ref=main&lfs=1"), "a.png") == CONTENT


def test_lfs_object_that_is_cut_off(with_lfs: Path) -> None:
    fetch(with_lfs)
    (with_lfs / ".git/lfs/objects" / OID[:2] / OID[2:4] / OID).write_bytes(CONTENT[:-1])
    with pytest.raises(FlakeError, match="only the pointers are there"):
        find(f"git+file:{with_lfs}?ref=main&lfs=1")


def test_lfs_of_a_work_tree_is_what_is_on_disk(with_lfs: Path) -> None:
    with pytest.raises(FlakeError, match=r"only the pointers are there: a\.png; run 'git -C .* lfs pull'"):
        find(f"git+file:{with_lfs}?lfs=1")
    (with_lfs / "a.png").write_bytes(CONTENT)
    assert nar_hash(f"git+file:{with_lfs}?lfs=1") == nar_hash(str(with_lfs))
    assert content(find(f"git+file:{with_lfs}?lfs=1"), "a.png") == CONTENT


@pytest.mark.parametrize("scheme", ["git+file", "path"])
def test_flake_nix_asks_for_lfs(with_lfs: Path, scheme: str) -> None:
    commit(with_lfs, flake_nix="{ inputs.self.lfs = true; outputs = self: { }; }")
    with pytest.raises(FlakeError, match="asks for Git LFS"):
        find(f"{scheme}:{with_lfs}")
    (with_lfs / "a.png").write_bytes(CONTENT)
    assert content(find(f"{scheme}:{with_lfs}"), "a.png") == CONTENT


@pytest.mark.parametrize(("file", "directory", "expected"), [(-3600, -5, 0), (-1, 0, 0), (86400, -3600, 86400)])
def test_times_before_1970(tmp_path: Path, file: int, directory: int, expected: int) -> None:
    (tmp_path / "flake.nix").write_text(PLAIN)
    os.utime(tmp_path / "flake.nix", (file, file))
    os.utime(tmp_path, (directory, directory))
    flake = find(f"path:{tmp_path}")
    with flake.snapshot() as snapshot:
        assert flake.locked_reference(snapshot).endswith(f"&lastModified={expected}")
