# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Git LFS: files of which git has only a pointer. Source: the Git LFS specification, and git-lfs-fetch in Nix.

Where a flake asks for them, Nix puts the content into the tree of a commit. Of a work tree it takes what is on disk,
where git-lfs has put it already.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from . import nar
from .git_attributes import Attributes

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]+)\n?"
)
_LARGEST = 1024
"""Bytes of a pointer, by the specification."""


def pointers(tree: nar.Node) -> list[str]:
    """The files of a tree that are pointers, and that git would have replaced in a checkout."""
    attributes = Attributes.of(tree, "filter")
    return [os.fsdecode(path) for path, file in _files(tree, b"") if _pointer(attributes, path, file)]


def with_content(tree: nar.Directory, objects: Path) -> tuple[nar.Directory, list[str]]:
    """The tree with the content in the place of pointers, and the pointers for which it is not among the objects."""
    attributes = Attributes.of(tree, "filter")
    missing: list[str] = []

    def replaced(directory: nar.Directory, prefix: bytes) -> nar.Directory:
        entries: dict[bytes, nar.Node] = {}
        for name, node in directory.entries.items():
            path = prefix + name
            if isinstance(node, nar.Directory):
                entries[name] = replaced(node, path + b"/")
                continue
            entries[name] = node
            if isinstance(node, nar.RegularFile) and (pointer := _pointer(attributes, path, node)):
                oid, size = pointer
                file = objects / oid[:2] / oid[2:4] / oid
                if file.is_file() and file.stat().st_size == size:
                    entries[name] = nar.RegularFile(size, node.executable, partial(_open, file))
                else:
                    missing.append(os.fsdecode(path))
        return nar.Directory(entries)

    return replaced(tree, b""), missing


def _pointer(attributes: Attributes, path: bytes, file: nar.RegularFile) -> tuple[str, int] | None:
    """The name and the size of what a file points to; None for a file that is itself."""
    if file.size >= _LARGEST or attributes.value(path) != "lfs":
        return None
    found = _POINTER.fullmatch(nar.read(file))
    return (found[1].decode(), int(found[2])) if found else None


def _files(tree: nar.Node, prefix: bytes) -> Iterator[tuple[bytes, nar.RegularFile]]:
    if isinstance(tree, nar.Directory):
        for name, node in tree.entries.items():
            if isinstance(node, nar.RegularFile):
                yield prefix + name, node
            else:
                yield from _files(node, prefix + name + b"/")


def _open(file: Path) -> BinaryIO:
    return file.open("rb")
