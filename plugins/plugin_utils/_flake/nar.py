# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nix archives (NAR): one tree of files as one stream of bytes, the same for the same tree everywhere.

The format is figure 5.2 of Eelco Dolstra's thesis, "The Purely Functional Software Deployment Model", and
"Nix Archive (NAR) format" in the Nix manual. Every token is a string: its length as 64 bits, little endian, then
its bytes, padded with zeros to a multiple of eight. File names are bytes and are sorted as bytes.

A tree is made of `RegularFile`, `Symlink` and `Directory`, whatever its files come from: a directory
(`directory_tree`), a selection of its files as git lists them (`selected_tree`), or a commit (`git.commit_tree`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, Protocol

_CHUNK = 1 << 16
_LINKS = 40
"""So many are followed, one after the other."""


class NarError(Exception):
    """A tree that cannot be made into a NAR; the message names the file."""


class Sink(Protocol):
    """What a NAR is written to: a file, or anything else with its `write`."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


@dataclass(frozen=True)
class RegularFile:
    """A file's content, opened only when it is its turn."""

    size: int
    executable: bool
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Symlink:
    """A symbolic link, as it is: it is never followed."""

    target: bytes


@dataclass(frozen=True)
class Directory:
    """Names and what they stand for, in any order."""

    entries: Mapping[bytes, Node]


Node = RegularFile | Symlink | Directory


def find(tree: Node, path: bytes) -> Node | None:
    """What is at a relative path of a tree, links not followed; None if there is nothing."""
    node: Node | None = tree
    for name in path.split(b"/"):
        if name in (b"", b"."):
            continue
        node = node.entries.get(name) if isinstance(node, Directory) else None
    return node


def find_followed(tree: Node, path: bytes) -> Node | None:
    """The same with links followed, as far as they stay in the tree; None where they do not."""
    names = path.split(b"/")
    above: list[bytes] = []
    for _link in range(_LINKS):
        while names:
            name = names.pop(0)
            if name in (b"", b"."):
                continue
            if name == b"..":
                if not above:
                    return None
                above.pop()
                continue
            node = find(tree, b"/".join((*above, name)))
            if isinstance(node, Symlink):
                if node.target.startswith(b"/"):
                    return None
                names = node.target.split(b"/") + names
                break
            above.append(name)
        else:
            return find(tree, b"/".join(above))
    return None


def read(file: RegularFile) -> bytes:
    """The whole content of a small file of a tree."""
    with closing(file.open()) as content:
        return content.read()


class Look(Protocol):
    """What looks at the files while they are read."""

    def __call__(self, path: bytes, executable: bool, size: int, beginning: bytes, /) -> None:
        """Look at a file: its path in the tree, and its first bytes."""


def write_nar(tree: Node, sink: Sink, look: Look | None = None) -> None:
    """Serialise a tree. Nothing larger than a chunk of a file is held in memory."""
    _write_string(sink, b"nix-archive-1")
    _write_node(tree, sink, b"", look)


def file_in(archive: BinaryIO, path: bytes) -> bytes | None:
    """The content of a regular file in a NAR that can be sought in; None where there is none at this path."""
    wanted = [name for name in path.split(b"/") if name not in (b"", b".")]
    if _read_string(archive) != b"nix-archive-1":
        raise NarError("it is no NAR")
    return _search(archive, wanted)


def _search(archive: BinaryIO, wanted: list[bytes] | None) -> bytes | None:
    """Go through a node; what is wanted of it is a path below it, the node itself (an empty one), or nothing."""
    found = None
    _read_string(archive)
    _read_string(archive)
    kind = _read_string(archive)
    while (token := _read_string(archive)) != b")":
        if token == b"executable":
            _read_string(archive)
        elif token == b"contents" and wanted == []:
            found = _read_string(archive)
        elif token == b"contents":
            size = int.from_bytes(archive.read(8), "little")
            archive.seek(size + -size % 8, os.SEEK_CUR)
        elif token == b"target":
            _read_string(archive)
        elif token == b"entry" and kind == b"directory":
            _read_string(archive)
            _read_string(archive)
            name = _read_string(archive)
            _read_string(archive)
            inner = _search(archive, wanted[1:] if wanted and wanted[0] == name else None)
            found = inner if found is None else found
            _read_string(archive)
        else:
            raise NarError(f"it is no NAR: {_show(token)}")
    return found


def _read_string(archive: BinaryIO) -> bytes:
    size = int.from_bytes(archive.read(8), "little")
    data = archive.read(size)
    if len(data) != size or len(archive.read(-size % 8)) != -size % 8:
        raise NarError("it is cut off")
    return data


def directory_tree(root: str | os.PathLike[str]) -> Node:
    """A whole directory as it is on disk, or a single file or link."""
    return _scan(os.fsencode(root))


def selected_tree(root: str | os.PathLike[str], paths: Iterable[bytes]) -> tuple[Directory, list[bytes]]:
    """Only the named files below a root, and the names for which there is no such file.

    A name is relative, its parts separated by slashes. Like git, it takes a file for missing when there is a
    directory in its place or when a directory above it has become a link.
    """
    top = os.fsencode(root)
    entries: dict[bytes, Node] = {}
    known: dict[bytes, dict[bytes, Node] | None] = {b"": entries}
    missing = []
    for path in paths:
        parent, _slash, name = path.rpartition(b"/")
        folder = _folder(top, parent, known)
        node = None if folder is None else _file(os.path.join(top, path))
        if folder is None or node is None:
            missing.append(path)
        else:
            folder[name] = node
    return _without_empty(entries), missing


def latest_change(root: str | os.PathLike[str]) -> int:
    """The latest modification time in a directory, in whole seconds: Nix's `lastModified` of a `path:` flake."""
    top = os.fsencode(root)
    # Nix has no time before 1970, and a host refuses a reference with one.
    latest = max(0, int(os.lstat(top).st_mtime))
    for folder, directories, files in os.walk(top):
        for name in [*directories, *files]:
            latest = max(latest, int(os.lstat(os.path.join(folder, name)).st_mtime))
    return latest


def _write_string(sink: Sink, data: bytes) -> None:
    sink.write(len(data).to_bytes(8, "little") + data + b"\0" * (-len(data) % 8))


def _write_node(node: Node, sink: Sink, path: bytes, look: Look | None) -> None:
    _write_string(sink, b"(")
    _write_string(sink, b"type")
    if isinstance(node, RegularFile):
        _write_string(sink, b"regular")
        if node.executable:
            _write_string(sink, b"executable")
            _write_string(sink, b"")
        _write_string(sink, b"contents")
        _write_contents(node, sink, path, look)
    elif isinstance(node, Symlink):
        _write_string(sink, b"symlink")
        _write_string(sink, b"target")
        _write_string(sink, node.target)
    else:
        _write_string(sink, b"directory")
        for name in sorted(node.entries):
            if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
                raise NarError(f"{_show(path)}: {_show(name)} is not a file name")
            _write_string(sink, b"entry")
            _write_string(sink, b"(")
            _write_string(sink, b"name")
            _write_string(sink, name)
            _write_string(sink, b"node")
            _write_node(node.entries[name], sink, path + b"/" + name if path else name, look)
            _write_string(sink, b")")
    _write_string(sink, b")")


def _write_contents(file: RegularFile, sink: Sink, path: bytes, look: Look | None) -> None:
    sink.write(file.size.to_bytes(8, "little"))
    left = file.size
    try:
        with closing(file.open()) as content:
            while left:
                data = content.read(min(left, _CHUNK))
                if not data:
                    raise NarError(f"{_show(path)} became shorter while it was being read; try again")
                if look is not None and left == file.size:
                    look(path, file.executable, file.size, data)
                sink.write(data)
                left -= len(data)
            if content.read(1):
                raise NarError(f"{_show(path)} became longer while it was being read; try again")
    except OSError as error:
        raise NarError(f"{_show(path)} cannot be read: {error.strerror}") from error
    sink.write(b"\0" * (-file.size % 8))


def _scan(path: bytes) -> Node:
    node = _file(path)
    if node is not None:
        return node
    try:
        names = os.listdir(path)
    except OSError as error:
        raise NarError(f"{_show(path)} cannot be read: {error.strerror}") from error
    return Directory({name: _scan(os.path.join(path, name)) for name in names})


def _file(path: bytes) -> RegularFile | Symlink | None:
    """The file or link at a path; None for a directory or for nothing."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return Symlink(os.readlink(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise NarError(f"{_show(path)} cannot be read: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        raise NarError(
            f"{_show(path)} is a {_kind(status.st_mode)}: only regular files, directories and symbolic links can be"
            " copied to the Nix store. Move it out of the flake"
        )
    # Nix asks for the owner's bit alone.
    return RegularFile(status.st_size, bool(status.st_mode & stat.S_IXUSR), lambda: _open(path))


def _open(path: bytes) -> BinaryIO:
    """Open what was a regular file a moment ago, following no link and waiting for no pipe put in its place."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NarError(f"{_show(path)} was replaced while it was being read; try again")
    return open(descriptor, "rb")


def _folder(top: bytes, path: bytes, known: dict[bytes, dict[bytes, Node] | None]) -> dict[bytes, Node] | None:
    """The entries of the folder at a relative path, made on first use; None if it is no real directory."""
    if path not in known:
        parent, _slash, name = path.rpartition(b"/")
        above = _folder(top, parent, known)
        known[path] = None
        if above is not None and _is_directory(os.path.join(top, path)):
            entries: dict[bytes, Node] = {}
            above[name] = Directory(entries)
            known[path] = entries
    return known[path]


def _is_directory(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _without_empty(entries: Mapping[bytes, Node]) -> Directory:
    """Without the folders all of whose files were missing: a folder exists in a selection only by what is in it."""
    kept: dict[bytes, Node] = {}
    for name, node in entries.items():
        if isinstance(node, Directory):
            node = _without_empty(node.entries)
            if not node.entries:
                continue
        kept[name] = node
    return Directory(kept)


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "named pipe"
    if stat.S_ISSOCK(mode):
        return "socket"
    return "device"


def _show(path: bytes) -> str:
    return os.fsdecode(path).encode("utf-8", "replace").decode() or "."
