# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of the lab's machines: what is on it when the power goes."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.crashes import crashes
from lab.nbd import SECTOR, Disk, recorded, recorded_base, serve

OLD, NEW = b"o" * SECTOR, b"n" * SECTOR
COUNT = 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "disk"
    file.write_bytes(OLD * COUNT)
    return file


def sectors(path: Path) -> list[bytes]:
    """What is left after a power cut: the file alone."""
    data = path.read_bytes()
    return [data[start : start + SECTOR] for start in range(0, len(data), SECTOR)]


def test_a_write_is_read_and_lost_until_it_is_flushed(path: Path) -> None:
    disk = Disk(path)
    disk.write(3 * SECTOR, NEW * 2)
    assert disk.read(2 * SECTOR, 4 * SECTOR) == OLD + NEW * 2 + OLD
    assert sectors(path) == [OLD] * COUNT
    disk.flush()
    assert sectors(path)[2:6] == [OLD, NEW, NEW, OLD]


def test_a_write_through_leaves_what_waits(path: Path) -> None:
    disk = Disk(path)
    disk.write(0, NEW)
    disk.write(5 * SECTOR, NEW, through=True)
    assert sectors(path) == [OLD] * 5 + [NEW] + [OLD] * (COUNT - 6)


def test_an_eager_disk_writes_in_no_order(path: Path) -> None:
    """Some of what waits, of any age, so a later write may be there and an earlier one not."""
    disk = Disk(path, eager=1.0)
    disk.chance.seed(1)
    for number in range(COUNT):
        disk.write(number * SECTOR, NEW)
    found = [sector == NEW for sector in sectors(path)]
    first_lost = found.index(False)
    assert any(found[first_lost:])
    assert disk.read(0, COUNT * SECTOR) == NEW * COUNT


def test_how_eager_it_is_may_change(path: Path, tmp_path: Path) -> None:
    """Half a number is none."""
    disk, file = Disk(path), tmp_path / "eager"
    for said, eager in (("", 0.0), ("0.5", 0.5), ("", 0.5), ("0", 0.0)):
        file.write_text(said)
        disk.be_as_eager_as(file)
        assert disk.eager == eager


def test_a_recording_begins_with_what_is_there_and_ends_with_its_directory(path: Path, tmp_path: Path) -> None:
    disk, recording = Disk(path), tmp_path / "recording"
    disk.write(0, NEW)
    disk.record_where_wanted(recording)
    recording.mkdir()
    disk.record_where_wanted(recording)
    assert sectors(recorded_base(recording)) == [NEW] + [OLD] * (COUNT - 1)
    disk.write(SECTOR, NEW * 2)
    disk.flush()
    disk.write(0, OLD, through=True)
    disk.record_where_wanted(None)
    disk.write(0, NEW)
    found = [(entry.through, entry.offset, entry.data) for entry in recorded(recording)]
    assert found == [(False, SECTOR, NEW * 2), (False, 0, b""), (True, 0, OLD)]


def test_what_power_cuts_leave(path: Path, tmp_path: Path) -> None:
    """All that was flushed, and any of what was not."""
    disk, recording = Disk(path), tmp_path / "recording"
    recording.mkdir()
    disk.record_where_wanted(recording)
    for number in range(4):
        disk.write(number * SECTOR, NEW)
    disk.flush()
    for number in range(4, COUNT):
        disk.write(number * SECTOR, NEW)
    at = time.monotonic()
    seen, scratch = set(), tmp_path / "scratch"
    scratch.mkdir()
    for crash in crashes(recording, scratch, COUNT, random.Random(1), at):
        found = [sector == NEW for sector in sectors(crash.disk)]
        flushed = crash.after > 4
        written = crash.after - flushed
        assert all(found[:4]) or not flushed
        assert not any(found[written:]), "what was not written yet"
        assert all(found[:written]) or "100%" not in crash.kept
        seen.add(sum(found))
        assert crash.time < at or crash.after == COUNT + 1
    assert sum(found) == 4 and len(seen) > 10


def test_what_power_cuts_leave_of_a_sector_that_was_written_twice(path: Path, tmp_path: Path) -> None:
    """Any of three; what was written through is there, whatever waited before."""
    disk, recording, scratch = Disk(path), tmp_path / "recording", tmp_path / "scratch"
    recording.mkdir()
    scratch.mkdir()
    disk.record_where_wanted(recording)
    for data in (NEW, b"x" * SECTOR):
        disk.write(0, data)
        disk.write(SECTOR, data)
    disk.write(SECTOR, NEW, through=True)
    for _time in range(COUNT):
        disk.write(2 * SECTOR, NEW)
    left = [sectors(crash.disk) for crash in crashes(recording, scratch, COUNT, random.Random(1), 0)]
    assert {found[0][:1] for found in left} == {b"o", b"n", b"x"}
    assert {found[1][:1] for found in left[-20:]} == {b"n"}


@pytest.mark.parametrize("with_fat", [False, True])
def test_what_a_write_has_of_a_block_comes_whole(path: Path, tmp_path: Path, with_fat: bool) -> None:
    """A block has eight sectors; this one begins in the middle of one, and ends in that of the next. FAT has none."""
    disk, recording, scratch = Disk(path), tmp_path / "recording", tmp_path / "scratch"
    recording.mkdir()
    scratch.mkdir()
    disk.record_where_wanted(recording)
    disk.write(4 * SECTOR, NEW * 8)
    for _time in range(COUNT):
        disk.write(15 * SECTOR, NEW)
    fat_until = COUNT * SECTOR if with_fat else 0
    left = [sectors(crash.disk) for crash in crashes(recording, scratch, COUNT, random.Random(1), 0, fat_until)]
    parts = {tuple(sector == NEW for sector in found[4:12]) for found in left}
    assert (
        len(parts) > 10
        if with_fat
        else parts == {(first,) * 4 + (second,) * 4 for first in (False, True) for second in (False, True)}
    )


class Client:
    """As much of qemu as it takes."""

    def __init__(self, path: Path) -> None:
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(str(path))
        assert self.take(18)[:8] == b"NBDMAGIC"
        self.line.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 8, 0))
        _magic, _option, kind, length = struct.unpack(">QIII", self.take(20))
        assert (kind, length) == (0x80000001, 0)
        self.line.sendall(struct.pack(">8sII", b"IHAVEOPT", 1, 0))
        self.size, self.flags = struct.unpack(">QH", self.take(10))

    def take(self, length: int) -> bytes:
        return self.line.recv(length, socket.MSG_WAITALL)

    def ask(self, kind: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> bytes:
        self.line.sendall(struct.pack(">IHH8sQI", 0x25609513, flags, kind, b"a handle", offset, length) + data)
        _magic, error, handle = struct.unpack(">II8s", self.take(16))
        assert (error, handle) == (0, b"a handle")
        return self.take(length) if kind == 0 else b""


@pytest.fixture
def client(path: Path, tmp_path: Path) -> Iterator[Client]:
    serve(Disk(path), tmp_path / "socket")
    client = Client(tmp_path / "socket")
    yield client
    client.line.close()


def test_over_the_wire(client: Client, path: Path) -> None:
    """Reads, writes, a flush, and a write that is flushed by itself."""
    assert (client.size, client.flags) == (COUNT * SECTOR, 13)
    client.ask(1, SECTOR, SECTOR, NEW)
    assert client.ask(0, 0, 3 * SECTOR) == OLD + NEW + OLD
    assert sectors(path)[1] == OLD
    client.ask(1, 0, SECTOR, NEW, flags=1)
    assert sectors(path)[:2] == [NEW, OLD]
    client.ask(3)
    assert sectors(path)[:3] == [NEW, NEW, OLD]
