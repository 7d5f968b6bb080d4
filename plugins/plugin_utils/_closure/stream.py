# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the stream of a batch holds what was signed, and nothing else, before a host is given any of it.

A host has a path in its store as soon as it has read the path's end, whatever comes after that: it would be too late to
look there. So each piece is read here first, and one that ends a path which is not what was signed goes to nobody.

The form is that of `nix-store --export`, of numbers and strings as in a NAR: for each path a 1, its NAR, a mark, its
name, how many references it has and which, what it was derived from, and a 0; and in the end a 0.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Generator, Iterable, Mapping

from .._codes import Refusal
from .._flake.store_path import is_store_path
from .._host.answer import HostError
from .signatures import Signed

_MARK = 0x4558494E
_CHUNK = 1 << 16
_LONGEST = 1 << 16
"""Bytes of a name or of the target of a link."""
_DEEPEST = 200
"""Directories in each other."""
_GZIP = 31

Reading = Generator[int, bytes, None]


class CheckedStream:
    """One batch, piece by piece; HostError for the first one that does not go on as it should."""

    def __init__(self, source: str, paths: Iterable[str], signed: Mapping[str, Signed], packed: bool) -> None:
        self._source = source
        self._left = {path: signed[path] for path in paths}
        self._unpack = zlib.decompressobj(_GZIP) if packed else None
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._size = self._largest = 0
        self._token = b""
        self._reading = self._batch()
        self._needed: int | None = next(self._reading)

    def feed(self, data: bytes, last: bool) -> None:
        """Look at a piece."""
        try:
            self._take(data)
            if last and (self._needed is not None or self._buffer or (self._unpack and not self._unpack.eof)):
                raise ValueError("it ends too early")
        except (ValueError, zlib.error) as error:
            raise HostError(
                f"{self._source} has sent something else than what it has shown signatures of ({error}); no other host"
                " was given that",
                Refusal.NOT_SIGNED,
            ) from error

    def _take(self, data: bytes) -> None:
        if self._unpack is None:
            self._read(data)
            return
        # A packed piece may be any number of bytes.
        while not self._unpack.eof:
            plain = self._unpack.decompress(data, _CHUNK)
            self._read(plain)
            data = self._unpack.unconsumed_tail
            if not data and len(plain) < _CHUNK:
                break
        if data or self._unpack.unused_data:
            raise ValueError("more comes behind its end")

    def _read(self, data: bytes) -> None:
        self._buffer += data
        while self._needed is not None and len(self._buffer) >= self._needed:
            taken = bytes(self._buffer[: self._needed])
            del self._buffer[: self._needed]
            self._digest.update(taken)
            self._size += len(taken)
            try:
                self._needed = self._reading.send(taken)
            except StopIteration:
                self._needed = None
        if self._needed is None and self._buffer:
            raise ValueError("more comes behind its end")

    def _batch(self) -> Reading:
        while self._left:
            yield from self._expect_number(1)
            self._digest, self._size = hashlib.sha256(), 0
            self._largest = max(one.size for one in self._left.values())
            yield from self._expect(b"nix-archive-1")
            yield from self._node(0)
            is_it = {
                path for path, one in self._left.items() if (one.size, one.hash) == (self._size, self._digest.digest())
            }
            if not is_it:
                raise ValueError("a path has another content")
            yield from self._expect_number(_MARK)
            yield from self._string()
            path = self._token.decode("ascii")
            if path not in is_it:
                raise ValueError(f"{path!r} has another content")
            yield from self._references(path)
            yield from self._string()
            if self._token and not is_store_path(self._token.decode("ascii")):
                raise ValueError(f"{path} is of {self._token!r}")
            yield from self._expect_number(0)
            del self._left[path]
        yield from self._expect_number(0)

    def _references(self, path: str) -> Reading:
        references = self._left[path].references
        yield from self._expect_number(len(references))
        found = set()
        for _each in references:
            yield from self._string()
            found.add(self._token.decode("ascii"))
        if found != references:
            raise ValueError(f"{path} has other references")

    def _node(self, depth: int) -> Reading:
        """A file, a link, or a directory, as strictly as Nix writes it: where it ends must not be open to doubt."""
        if depth > _DEEPEST:
            raise ValueError("its directories are too deep")
        yield from self._expect(b"(", b"type")
        yield from self._string()
        if self._token == b"regular":
            yield from self._string()
            if self._token == b"executable":
                yield from self._expect(b"", b"contents")
            elif self._token != b"contents":
                raise ValueError(f"{self._token!r} in a file")
            yield from self._contents()
            yield from self._expect(b")")
        elif self._token == b"symlink":
            yield from self._expect(b"target")
            yield from self._string()
            yield from self._expect(b")")
        elif self._token == b"directory":
            yield from self._string()
            while self._token == b"entry":
                yield from self._expect(b"(", b"name")
                yield from self._string()
                yield from self._expect(b"node")
                yield from self._node(depth + 1)
                yield from self._expect(b")")
                yield from self._string()
            if self._token != b")":
                raise ValueError(f"{self._token!r} in a directory")
        else:
            raise ValueError(f"a file of the type {self._token!r}")

    def _contents(self) -> Reading:
        size = int.from_bytes((yield 8), "little")
        padding, left = -size % 8, size + -size % 8
        if self._size + left > self._largest:
            raise ValueError("a path is larger")
        while left > _CHUNK:
            yield _CHUNK
            left -= _CHUNK
        end = (yield left) if left else b""
        if any(end[len(end) - padding :]):
            raise ValueError("a file does not end with zeros")

    def _string(self) -> Reading:
        size = int.from_bytes((yield 8), "little")
        if size > _LONGEST:
            raise ValueError("a name is too long")
        data = (yield size + -size % 8) if size else b""
        self._token = data[:size]
        if any(data[size:]):
            raise ValueError("a name does not end with zeros")

    def _expect(self, *tokens: bytes) -> Reading:
        for token in tokens:
            yield from self._string()
            if self._token != token:
                raise ValueError(f"{self._token!r} in place of {token!r}")

    def _expect_number(self, number: int) -> Reading:
        found = int.from_bytes((yield 8), "little")
        if found != number:
            raise ValueError(f"{found} in place of {number}")
