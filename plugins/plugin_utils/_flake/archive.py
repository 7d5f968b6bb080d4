# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in a tar or zip file, as Nix sees it: without the one directory that has everything in it.

Nothing is unpacked to the disk but the compression as a whole: names in an archive lead nowhere.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from . import nar
from .reference import FlakeError

_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZIP = b"PK\3\4"


_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    ValueError,
    # A zip file that is encrypted, or compressed in a way that Python does not know.
    RuntimeError,
)


@contextmanager
def unpacked(archive: Path, directory: Path) -> Iterator[nar.Node]:
    """The tree of an archive; its files are read when it is their turn. The directory is for what is not compressed."""
    try:
        with archive.open("rb") as file:
            magic = file.read(6)
        if magic.startswith(_ZIP):
            with zipfile.ZipFile(archive) as zip_file:
                yield _top(_zip_tree(zip_file))
        else:
            with tarfile.open(_uncompressed(archive, magic, directory / "archive.tar"), "r:") as tar:
                yield _top(_tar_tree(tar))
    except _UNREADABLE as error:
        raise FlakeError(f"its archive cannot be read: {error}") from error


def _uncompressed(archive: Path, magic: bytes, to: Path) -> Path:
    if magic.startswith(_ZSTD):
        with to.open("wb") as file:
            try:
                done = subprocess.run(
                    ["zstd", "-dc", os.fspath(archive)], stdout=file, stderr=subprocess.PIPE, check=False
                )
            except FileNotFoundError as error:
                raise FlakeError(
                    "its archive is compressed by zstd, and that program is not on this machine"
                ) from error
        if done.returncode:
            raise FlakeError(f"its archive cannot be read: {done.stderr.decode(errors='replace').strip()}")
        return to
    for beginning, opener in _OPENERS.items():
        if magic.startswith(beginning):
            with opener(archive) as packed, to.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
            return to
    return archive


def _tar_tree(tar: tarfile.TarFile) -> dict[bytes, nar.Node]:
    entries: dict[bytes, nar.Node] = {}
    files: dict[bytes, nar.Node] = {}
    for member in tar:
        path = _parts(os.fsencode(member.name))
        if member.isdir():
            _folder(entries, path)
            continue
        if not path:
            continue
        if member.issym():
            node: nar.Node = nar.Symlink(os.fsencode(member.linkname))
        elif member.islnk():
            linked = files.get(b"/".join(_parts(os.fsencode(member.linkname))))
            if linked is None:
                raise FlakeError(f"its archive has a hard link to nothing: {member.name}")
            node = linked
        elif member.isreg():
            executable = bool(member.mode & stat.S_IXUSR)
            node = nar.RegularFile(member.size, executable, partial(_tar_file, tar, member))
        else:
            raise FlakeError(f"its archive has something that is no file, directory or link: {member.name}")
        _folder(entries, path[:-1])[path[-1]] = node
        files[b"/".join(path)] = node
    return entries


def _tar_file(tar: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    file = tar.extractfile(member)
    return cast(BinaryIO, file or io.BytesIO())


def _zip_tree(archive: zipfile.ZipFile) -> dict[bytes, nar.Node]:
    entries: dict[bytes, nar.Node] = {}
    for info in archive.infolist():
        path = _parts(os.fsencode(info.filename))
        if info.is_dir():
            _folder(entries, path)
            continue
        mode = info.external_attr >> 16
        if stat.S_ISLNK(mode):
            node: nar.Node = nar.Symlink(archive.read(info))
        else:
            executable = bool(mode & stat.S_IXUSR)
            node = nar.RegularFile(info.file_size, executable, partial(_zip_file, archive, info))
        _folder(entries, path[:-1])[path[-1]] = node
    return entries


def _zip_file(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    file: IO[bytes] = archive.open(info)
    return cast(BinaryIO, file)


def _parts(path: bytes) -> list[bytes]:
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise FlakeError(f"its archive has a name that leads out of it: {os.fsdecode(path)!r}")
    return parts


def _folder(entries: dict[bytes, nar.Node], path: list[bytes]) -> dict[bytes, nar.Node]:
    """The entries of a folder, made on first use; what is no folder gives way."""
    for part in path:
        node = entries.get(part)
        if not isinstance(node, nar.Directory):
            node = entries[part] = nar.Directory({})
        entries = cast(dict[bytes, nar.Node], node.entries)
    return entries


def _top(entries: dict[bytes, nar.Node]) -> nar.Node:
    only = next(iter(entries.values())) if len(entries) == 1 else None
    return only if isinstance(only, nar.Directory) else nar.Directory(entries)
