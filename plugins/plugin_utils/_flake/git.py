# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Nix sees of a git repository: a work tree's tracked files, or the content of a commit.

Source: the git fetcher in Nix (`builtins.fetchGit` in the Nix manual). Of a work tree it takes the files of the index,
those added with `--intent-to-add` among them, with the content that they have on disk, and leaves out deleted ones. Of
a commit it takes the blobs as git stores them, without the filters and attributes that a checkout would apply. A
submodule is left out of the one and an empty directory in the other, unless submodules are asked for; and always where
`.gitmodules` does not name it.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import weakref
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, BinaryIO, cast

from . import nar

_CHUNK = 1 << 16
_SUBMODULE = b"160000"
_SYMLINK = b"120000"
_EXECUTABLE = b"100755"
# What a git hook sets would lead git to another repository than the one that we name.
_OF_ANOTHER_REPOSITORY = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
}


class Relation(StrEnum):
    """How a revision stands to another one."""

    SAME = "same"
    NEWER = "newer"
    OLDER = "older"
    DIVERGED = "diverged"
    UNKNOWN = "unknown"
    """The other one is not here at all, so this one does not come after it."""


class GitError(Exception):
    """A git repository that cannot be read; the message says why, and how to mend it."""


@dataclass(frozen=True)
class Commit:
    """A commit: its name, its time in seconds since 1970, and how many commits led to it where that is known."""

    name: str
    time: int
    count: int | None


@dataclass(frozen=True)
class WorkTree:
    """The tracked files of a work tree as they are on disk."""

    tree: nar.Directory
    head: Commit | None
    """The commit that is checked out; None before the first one."""
    dirty: bool
    """Whether the files differ from that commit."""
    untracked: tuple[bytes, ...]
    """Files that git does not know, and that it is not told to ignore."""
    left_out: tuple[bytes, ...] = ()
    """Submodules, and what looks like one to git, that are not in it."""


@dataclass(frozen=True)
class CommitTree:
    """The content of a commit."""

    tree: nar.Directory
    left_out: tuple[bytes, ...]
    """Submodules, and what looks like one to git: empty directories."""

    @property
    def has_submodules(self) -> bool:
        """Whether there is anything that Nix would fetch as a submodule."""
        return bool(self.left_out) and b".gitmodules" in self.tree.entries


def work_tree(root: Path, submodules: bool = False) -> WorkTree:
    """Read the work tree whose root this is: there is a `.git` in it."""
    tracked = _tracked(root, b"", submodules)
    tree, missing = nar.selected_tree(root, tracked.paths)
    head = None if tracked.head is None else commit(root, tracked.head)
    # Files missing in a tree that git calls clean are those left out by a sparse checkout.
    dirty = tracked.dirty or bool(missing) or head is None
    return WorkTree(tree, head, dirty, tracked.untracked, tracked.left_out)


def commit(root: Path, name: str) -> Commit:
    """Look up a commit by its name, or by a branch or tag."""
    found = _git(root, "rev-list", "--max-count=1", "--timestamp", "--end-of-options", name, "--").split()
    revision = found[1].decode()
    count = None if is_shallow(root) else int(_git(root, "rev-list", "--count", "--use-bitmap-index", revision, "--"))
    return Commit(revision, int(found[0]), count)


def apart(root: Path, one: str, other: str) -> tuple[int, int] | None:
    """How many commits only the one revision has and only the other; None where git does not have them both."""
    try:
        counts = _git(root, "rev-list", "--left-right", "--count", "--end-of-options", f"{one}...{other}", "--").split()
    except GitError:
        return None
    return int(counts[0]), int(counts[1])


def has_commit(root: Path, revision: str) -> bool:
    """Whether the repository has this commit."""
    try:
        _git(root, "cat-file", "-e", f"{revision}^{{commit}}")
    except GitError:
        return False
    return True


def relation(root: Path, revision: str, other: str) -> Relation | None:
    """How a revision of this repository stands to another one; None where git cannot tell."""
    if revision == other:
        return Relation.SAME
    counts = apart(root, other, revision)
    if counts:
        before, after = counts
        if not before:
            return Relation.NEWER
        if not after:
            return Relation.OLDER
    # In a clone that was cut off, what is missing may well lead from the one to the other.
    if is_shallow(root):
        return None
    return Relation.DIVERGED if counts else Relation.UNKNOWN


def is_shallow(root: Path) -> bool:
    """Whether the older commits were left out."""
    return _git(root, "rev-parse", "--is-shallow-repository").strip() == b"true"


def lfs_objects(root: Path) -> Path:
    """Where git-lfs keeps what it has fetched."""
    common = os.fsdecode(_git(root, "rev-parse", "--git-common-dir").removesuffix(b"\n"))
    try:
        storage = os.fsdecode(_git(root, "config", "--type=path", "lfs.storage").removesuffix(b"\n"))
    except GitError:
        storage = "lfs"
    return root / common / storage / "objects"


def commit_tree(root: Path, revision: str) -> nar.Directory:
    """Read the content of a commit, file by file when it is needed."""
    return read_commit(root, revision).tree


def read_commit(root: Path, revision: str) -> CommitTree:
    """The same with what is left out of it."""
    left_out = []
    blobs = _Blobs(root)
    entries: dict[bytes, nar.Node] = {}
    folders: dict[bytes, dict[bytes, nar.Node]] = {b"": entries}
    listing = _git(root, "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", "--end-of-options", revision)
    for line in listing.split(b"\0")[:-1]:
        # With -t, a folder comes before what is in it.
        fields, _tab, path = line.partition(b"\t")
        mode, kind, name, size = fields.split()
        parent, _slash, base = path.rpartition(b"/")
        if kind == b"blob":
            folders[parent][base] = _blob(blobs, mode, name, int(size))
        else:
            if mode == _SUBMODULE:
                left_out.append(path)
            folders[path] = {}
            folders[parent][base] = nar.Directory(folders[path])
    return CommitTree(nar.Directory(entries), tuple(left_out))


def submodules(root: Path, revision: str) -> dict[bytes, str]:
    """The submodules of a commit: the commit that each is at, by its path."""
    listing = _git(root, "ls-tree", "-r", "-z", "--full-tree", "--end-of-options", revision)
    fields = (line.partition(b"\t") for line in listing.split(b"\0")[:-1])
    return {path: about.split()[2].decode() for about, _tab, path in fields if about.startswith(_SUBMODULE)}


def submodule_urls(root: Path, revision: str) -> dict[bytes, str]:
    """What a commit's .gitmodules says where its submodules are, by their paths."""
    said = _git(
        root, "config", "--blob", f"{revision}:.gitmodules", "-z", "--get-regexp", r"^submodule\..*\.(path|url)$"
    )
    found: dict[bytes, dict[str, bytes]] = {}
    for line in said.split(b"\0")[:-1]:
        key, _newline, value = line.partition(b"\n")
        name, _dot, what = key.rpartition(b".")
        found.setdefault(name, {})[what.decode()] = value
    return {one["path"]: os.fsdecode(one["url"]) for one in found.values() if one.keys() == {"path", "url"}}


@dataclass(frozen=True)
class _Tracked:
    """What git says of a work tree, as paths from the root of the outermost one."""

    paths: list[bytes]
    head: str | None
    dirty: bool
    untracked: tuple[bytes, ...]
    left_out: tuple[bytes, ...]


def _tracked(root: Path, prefix: bytes, submodules: bool) -> _Tracked:
    """List the tracked files of a work tree, and what differs from its commit."""
    status = _git(root, "status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--no-renames",
                  "--untracked-files=all", "--ignore-submodules=all").split(b"\0")[:-1]  # fmt: skip
    heads = [line.split()[2].decode() for line in status if line.startswith(b"# branch.oid ")]
    untracked = tuple(prefix + line[2:] for line in status if line.startswith(b"? "))
    dirty = any(line[:2] not in (b"# ", b"? ") for line in status)
    paths: dict[bytes, None] = {}
    left_out: list[bytes] = []
    named = _named_submodules(root) if submodules else frozenset()
    for line in _git(root, "ls-files", "--stage", "-z").split(b"\0")[:-1]:
        fields, _tab, path = line.partition(b"\t")
        mode, name, _stage = fields.split()
        if mode != _SUBMODULE:
            paths[prefix + path] = None
        elif path not in named:
            left_out.append(prefix + path)
        else:
            below = root / os.fsdecode(path)
            if not os.path.lexists(below / ".git"):
                raise GitError(
                    f"the submodule {below} is not checked out; run 'git submodule update --init --recursive'"
                )
            inner = _tracked(below, prefix + path + b"/", submodules)
            paths.update(dict.fromkeys(inner.paths))
            left_out += inner.left_out
            dirty = dirty or inner.dirty or inner.head != name.decode()
    head = heads[0] if heads and heads[0] != "(initial)" else None
    return _Tracked(list(paths), head, dirty, untracked, tuple(left_out))


def _named_submodules(root: Path) -> frozenset[bytes]:
    """The paths of the submodules in `.gitmodules`, as it is on disk."""
    if not (root / ".gitmodules").is_file():
        return frozenset()
    listing = _git(root, "config", "-z", "--file", ".gitmodules", "--list").split(b"\0")[:-1]
    settings = (setting.partition(b"\n") for setting in listing)
    return frozenset(
        value.rstrip(b"/") for name, _newline, value in settings if name[:10] == b"submodule." and name[-5:] == b".path"
    )


def _blob(blobs: _Blobs, mode: bytes, name: bytes, size: int) -> nar.Node:
    if mode == _SYMLINK:
        return nar.Symlink(blobs.open(name).read())
    return nar.RegularFile(size, mode == _EXECUTABLE, lambda: blobs.open(name))


class _Blobs:
    """One `git cat-file` for all the files of a commit, started when the first of them is read."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._last: _Content | None = None

    def open(self, name: bytes) -> BinaryIO:
        """Give the content of a blob, which is read piece by piece."""
        if self._process is None:
            self._process = _start(self._root, "cat-file", "--batch")
            weakref.finalize(self, _end, self._process)
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise GitError("git was started without pipes")
        if self._last is not None:
            # It comes out of the same pipe.
            self._last.make_way()
        try:
            process.stdin.write(name + b"\n")
            process.stdin.flush()
            header = process.stdout.readline().split()
            if len(header) != 3:
                raise GitError(f"git has lost the content {name.decode()} in {self._root}; run 'git fsck' there")
        except BrokenPipeError as error:
            raise GitError(f"git ended while it was reading {self._root}") from error
        self._last = _Content(process.stdout, int(header[2]), self._root)
        return cast(BinaryIO, self._last)


class _Content:
    """The content of one blob, as far as anybody reads it, out of the pipe that all of them come out of."""

    def __init__(self, pipe: IO[bytes], size: int, root: Path) -> None:
        self._pipe: IO[bytes] | io.BytesIO = pipe
        self._left = size
        self._root = root
        self._closed = False

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as many as there are; all that are left where no size is said."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._pipe.read(wanted)
        if len(data) != wanted:
            raise GitError(f"git ended while it was reading {self._root}")
        self._left -= wanted
        return data

    def make_way(self) -> None:
        """Leave the pipe to the next one. Whoever is not done with this one reads it from memory."""
        if self._closed:
            while self.read(_CHUNK):
                pass
            rest = b""
        else:
            rest = self.read()
        # After each content there is an end of line.
        self._pipe.read(1)
        self._pipe, self._left = io.BytesIO(rest), len(rest)

    def close(self) -> None:
        """Nobody reads it any more."""
        self._closed = True


def _start(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    # Nix knows neither replaced objects nor a file system monitor, which is a program named by the repository.
    command = ["git", "-c", "core.fsmonitor=false", "--no-replace-objects", "-C", os.fspath(root), *arguments]
    try:
        return subprocess.Popen(
            command,
            env=environment(root),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if "--batch" not in arguments else subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise GitError(
            f"{root} is a git repository, but the program git is not on this machine. Install git, or give"
            f" 'path:{root}' to copy the whole directory"
        ) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            # What is not written yet has nobody to read it, where git has ended.
            with suppress(BrokenPipeError):
                stream.close()
    process.wait()


def environment(root: Path) -> dict[str, str]:
    """The environment in which git finds this repository and no other."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
    return {
        **kept,
        "LC_ALL": "C",
        # Where .git is broken, do not go on to a repository further up.
        "GIT_CEILING_DIRECTORIES": os.fspath(root.parent),
        # Reading a repository must not write its index.
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _git(root: Path, *arguments: str) -> bytes:
    process = _start(root, *arguments)
    output, errors = process.communicate()
    if process.returncode == 0:
        return output
    raise GitError(_explain(root, errors.decode(errors="replace").strip()))


def _explain(root: Path, message: str) -> str:
    if "dubious ownership" in message or "unsafe repository" in message:
        return (
            f"git refuses to read {root}, since it belongs to another user. If you trust it, run"
            f" 'git config --global --add safe.directory {root}', or in a container set the environment variables"
            f" GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0={root}"
        )
    first = re.sub(r"^(fatal|error): ", "", message.splitlines()[0]) if message else "git failed"
    return f"git cannot read {root}: {first}"
