# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that go to a command's standard input behind its script, and are never whole in the memory of a process.

Ansible gives its connections all of the input at once. The plugin `ssh` writes it in a method of its own, which is told
here what else to write to the same pipe. Other plugins, and an ssh plugin without that method, get the whole.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Protocol

from .answer import HostError

_CHUNK = 1 << 18
_WRITES = "_send_initial_data"
"""The method of the plugin `ssh`; its first argument is the pipe."""


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class FileData:
    """A file, from its beginning each time that it is sent, and what goes before it."""

    file: BinaryIO
    size: int
    script: bytes = b""

    def __len__(self) -> int:
        """Bytes of the file."""
        return self.size

    def after(self, script: bytes) -> FileData:
        """The same with a script before it."""
        return replace(self, script=script)

    def write_to(self, sink: _Sink) -> None:
        """Write the file, piece by piece; HostError where it cannot be read, and the host takes no part for all."""
        self.file.seek(0)
        left = self.size
        while left:
            piece = self._read(min(left, _CHUNK))
            sink.write(piece)
            left -= len(piece)

    def _read(self, size: int) -> bytes:
        # Ansible takes an OSError for one of the connection's, which is tried again.
        try:
            piece = self.file.read(size)
        except OSError as error:
            raise HostError(f"what is to be sent cannot be read on the controller: {error}") from error
        if not piece:
            raise HostError("what is to be sent has become shorter on the controller meanwhile; deploy again")
        return piece

    def __bytes__(self) -> bytes:
        """All of it at once."""
        whole = io.BytesIO()
        whole.write(self.script)
        self.write_to(whole)
        return whole.getvalue()


@contextmanager
def given(connection: Any, data: bytes | FileData) -> Iterator[bytes]:
    """What Ansible is to be given as input while this lasts: with `ssh` the script alone, and the file follows it."""
    write = getattr(connection, _WRITES, None)
    if isinstance(data, bytes) or write is None or not data.script or _WRITES in vars(connection):
        # Without a first piece Ansible would not open the pipe; and only one file at a time follows on it.
        yield bytes(data)
        return
    followed = data

    def write_all(pipe: Any, *more: Any, **named: Any) -> Any:
        return write(_Followed(pipe, followed), *more, **named)

    setattr(connection, _WRITES, write_all)
    try:
        yield data.script
    finally:
        # That of its class is there again.
        delattr(connection, _WRITES)


class _Followed:
    """A pipe that gets a file after the first thing that is written to it; ssh tries again with another pipe."""

    def __init__(self, pipe: Any, data: FileData) -> None:
        self._pipe = pipe
        self._data: FileData | None = data

    def write(self, data: bytes, /) -> None:
        """Write a piece, and the file behind the first one."""
        self._pipe.write(data)
        follows, self._data = self._data, None
        if follows:
            follows.write_to(self._pipe)

    def close(self) -> None:
        """The end of the input."""
        self._pipe.close()
