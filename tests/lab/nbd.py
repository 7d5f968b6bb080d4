# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's disk with a write cache that is lost with the power, served to qemu as a network block device (NBD).

What was written and not flushed is in this process's memory alone, so whoever kills it has lost that, whatever the
page cache of this machine holds. A real disk writes of its cache what it likes, when it likes: with `eager`, each write
may bring some of the sectors that wait onto the disk, in no order.

What is written and flushed can be kept, so that every disk that a power cut might have left can be looked at later.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lab.shell import LabError, sh

SECTOR = 512
# How long a disk keeps to itself what it has been given.

_MAGIC = b"NBDMAGIC"
_OPTION = b"IHAVEOPT"
_OPTION_REPLY = 0x3E889045565A9
_REQUEST, _REPLY = 0x25609513, 0x67446698
_EXPORT_NAME, _ABORT, _GO = 1, 2, 7
_ACK, _INFO, _UNSUPPORTED = 1, 3, 0x80000001
_READ, _WRITE, _DISCONNECT, _FLUSH = range(4)
_FUA = 1
# Has flags, knows flushes and writes that are flushed by themselves.
_FLAGS = 1 | 4 | 8
_EIO, _EINVAL = 5, 22

# The disk as it was when the recording began, and what was done to it since.
_BASE, _WRITES = "base", "writes"
_ENTRY = struct.Struct(">d?QI")


@dataclass(frozen=True)
class Written:
    """One write of a recording, or a flush, which has no data."""

    time: float
    """Of this machine's monotonic clock."""
    through: bool
    """Whether it is on the disk at once."""
    offset: int
    data: bytes


def recorded(directory: Path) -> Iterator[Written]:
    """What was done to a disk while it was recorded, in its order."""
    with (directory / _WRITES).open("rb") as file:
        while len(head := file.read(_ENTRY.size)) == _ENTRY.size:
            when, through, offset, length = _ENTRY.unpack(head)
            if len(data := file.read(length)) < length:
                return
            yield Written(when, through, offset, data)


def recorded_base(directory: Path) -> Path:
    """The disk that a recording began with."""
    return directory / _BASE


class Disk:
    """A file, and the sectors that were written and are not in it yet."""

    def __init__(self, path: Path, eager: float = 0.0) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self.fd).st_size
        self.eager = eager
        self.chance = random.Random()
        self.cache: dict[int, bytes] = {}
        self.mutex = threading.Lock()
        self.recording: BinaryIO | None = None

    def read(self, offset: int, length: int) -> bytes:
        with self.mutex:
            data = bytearray(os.pread(self.fd, length, offset))
            if self.cache:
                first = offset // SECTOR
                for number in range(first, first + length // SECTOR):
                    if sector := self.cache.get(number):
                        start = (number - first) * SECTOR
                        data[start : start + SECTOR] = sector
            return bytes(data)

    def write(self, offset: int, data: bytes, *, through: bool = False) -> None:
        first = offset // SECTOR
        with self.mutex:
            self._record(offset, data, through)
            for index in range(len(data) // SECTOR):
                self.cache[first + index] = data[index * SECTOR : (index + 1) * SECTOR]
            if through:
                self._write_back(list(range(first, first + len(data) // SECTOR)))
            elif self.eager and self.chance.random() < self.eager:
                waiting = list(self.cache)
                self._write_back(self.chance.sample(waiting, self.chance.randint(0, len(waiting))))

    def flush(self) -> None:
        with self.mutex:
            self._write_back(sorted(self.cache))
            self._record(0, b"", False)

    def heed(self, eager: Path | None, recording: Path | None) -> None:
        """Do what files say by now; for a thread of its own."""
        while True:
            self.be_as_eager_as(eager)
            # Its directory may go meanwhile.
            with contextlib.suppress(OSError, LabError):
                self.record_where_wanted(recording)
            time.sleep(0.5)

    def be_as_eager_as(self, file: Path | None) -> None:
        """As its number says; with no file it stays as it is."""
        # It may be written just now.
        with contextlib.suppress(OSError, ValueError):
            if file:
                self.eager = float(file.read_text())

    def record_where_wanted(self, directory: Path | None) -> None:
        """Recording goes on as long as this directory exists."""
        wanted = directory is not None and directory.is_dir()
        if wanted == (self.recording is not None):
            return
        with self.mutex:
            if self.recording:
                self.recording.close()
                self.recording = None
            elif directory:
                self._write_back(sorted(self.cache))
                unfinished = directory / f"{_BASE}.unfinished"
                sh("cp", "--sparse=always", self.path, unfinished)
                self.recording = (directory / _WRITES).open("wb", buffering=0)
                unfinished.rename(directory / _BASE)

    def _record(self, offset: int, data: bytes, through: bool) -> None:
        if self.recording:
            self.recording.write(_ENTRY.pack(time.monotonic(), through, offset, len(data)) + data)

    def _write_back(self, numbers: list[int]) -> None:
        for number in numbers:
            os.pwrite(self.fd, self.cache.pop(number), number * SECTOR)


def serve(disk: Disk, path: Path, eager: Path | None = None, recording: Path | None = None) -> None:
    """Serve one connection after the other, in threads of this process, which end with it."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    threading.Thread(target=disk.heed, args=(eager, recording), daemon=True).start()
    threading.Thread(target=_accept, args=(disk, listener), daemon=True).start()


def _accept(disk: Disk, listener: socket.socket) -> None:
    while True:
        connection, _address = listener.accept()
        with connection:
            try:
                if _negotiate(disk, connection):
                    _answer(disk, connection)
            except (ConnectionError, EOFError):
                pass


def _take(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        if not (part := connection.recv(length - len(data))):
            raise EOFError
        data += part
    return bytes(data)


def _negotiate(disk: Disk, connection: socket.socket) -> bool:
    """Newstyle: there is one export, whatever it is called; whether it was taken."""
    connection.sendall(_MAGIC + _OPTION + struct.pack(">H", 3))
    (flags,) = struct.unpack(">I", _take(connection, 4))
    while True:
        _magic, option, length = struct.unpack(">8sII", _take(connection, 16))
        _take(connection, length)

        def reply(kind: int, data: bytes = b"", option: int = option) -> None:
            connection.sendall(struct.pack(">QIII", _OPTION_REPLY, option, kind, len(data)) + data)

        if option == _EXPORT_NAME:
            padding = b"" if flags & 2 else bytes(124)
            connection.sendall(struct.pack(">QH", disk.size, _FLAGS) + padding)
            return True
        if option == _GO:
            reply(_INFO, struct.pack(">HQH", 0, disk.size, _FLAGS))
            reply(_ACK)
            return True
        reply(_ACK if option == _ABORT else _UNSUPPORTED)
        if option == _ABORT:
            return False


def _answer(disk: Disk, connection: socket.socket) -> None:
    while True:
        magic, flags, kind, handle, offset, length = struct.unpack(">IHH8sQI", _take(connection, 28))
        if magic != _REQUEST:
            raise EOFError
        error, data = 0, b""
        written = _take(connection, length) if kind == _WRITE else b""
        try:
            if kind == _READ:
                data = disk.read(offset, length)
            elif kind == _WRITE:
                disk.write(offset, written, through=bool(flags & _FUA))
            elif kind == _FLUSH:
                disk.flush()
            elif kind == _DISCONNECT:
                return
            else:
                error = _EINVAL
        except OSError:
            error, data = _EIO, b""
        connection.sendall(struct.pack(">II8s", _REPLY, error, handle) + data)
