# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NARs against values recorded from Nix 2.26.3, and against a small parser of the format."""

from __future__ import annotations

import hashlib
import io
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake import nar

# nix-store --dump one, where `one` holds "only a file" and a newline
ONE = bytes.fromhex(
    "0d000000000000006e69782d617263686976652d310000000100000000000000280000000000000004000000000000007479706500000000"
    "0700000000000000726567756c6172000800000000000000636f6e74656e74730c000000000000006f6e6c7920612066696c650a00000000"
    "01000000000000002900000000000000"
)
# nix-store --dump none, where `none` is an empty directory
NONE = bytes.fromhex(
    "0d000000000000006e69782d617263686976652d310000000100000000000000280000000000000004000000000000007479706500000000"
    "09000000000000006469726563746f727900000000000000010000000000000029000000" + "00000000"
)
# nix-store --dump sample | sha256sum, and | wc -c (see `sample`)
SAMPLE_SHA256 = "66ba3d51ef1e6899647cb85e4c2d38c49cddbdcca1b5d80b3be2a563cdbeccdb"
SAMPLE_SIZE = 202376


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """The tree of which the values were recorded: every kind of node, odd names, sizes around the padding."""
    (tmp_path / "sub" / "empty").mkdir(parents=True)
    for name, content in {
        b"sub/b": b"hello\n",
        b"run": b"#!/bin/sh\n",
        b"empty": b"",
        b"eight": b"12345678",
        b"caf\xe9": b"x",
        b"a b": b"y",
        b"B": b"z",
        b"zeros": bytes(200000),
    }.items():
        (tmp_path / os.fsdecode(name)).write_bytes(content)
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "sub" / "b").chmod(0o654)  # executable, but not for the owner
    (tmp_path / "link").symlink_to("sub/b")
    (tmp_path / "dangling").symlink_to("/nowhere")
    return tmp_path


def dump(tree: nar.Node) -> bytes:
    sink = io.BytesIO()
    nar.write_nar(tree, sink)
    return sink.getvalue()


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"only a file\n")
    assert dump(nar.directory_tree(tmp_path / "one")) == ONE


def test_an_empty_directory(tmp_path: Path) -> None:
    assert dump(nar.directory_tree(tmp_path)) == NONE


def test_a_directory(sample: Path) -> None:
    data = dump(nar.directory_tree(sample))
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (SAMPLE_SHA256, SAMPLE_SIZE)


def test_a_selection_of_everything(sample: Path) -> None:
    (sample / "sub" / "empty").rmdir()
    names = [b"zeros", b"sub/b", b"run", b"link", b"eight", b"empty", b"dangling", b"caf\xe9", b"a b", b"B"]
    tree, missing = nar.selected_tree(sample, names)
    assert dump(tree) == dump(nar.directory_tree(sample))
    assert missing == []


def test_a_selection_leaves_out_what_is_missing(sample: Path) -> None:
    (sample / "other").symlink_to("sub")
    wanted = [b"run", b"gone", b"gone/too", b"sub", b"run/below", b"other/b"]
    tree, missing = nar.selected_tree(sample, wanted)
    # As git sees it: a directory is not the file that it replaced, and nothing is below a link or a file.
    assert missing == wanted[1:]
    assert list(tree.entries) == [b"run"]


def test_find_and_read(sample: Path) -> None:
    tree = nar.directory_tree(sample)
    file = nar.find(tree, b"sub/b")
    assert isinstance(file, nar.RegularFile)
    assert nar.read(file) == b"hello\n"
    assert nar.find(tree, b"./sub/../sub/b") is None
    assert nar.find(tree, b"link/b") is None
    assert nar.find(tree, b"") is tree


def test_special_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(nar.NarError, match=r"/pipe is a named pipe: only regular files"):
        nar.directory_tree(tmp_path)
    (tmp_path / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(nar.NarError, match=r"/s is a socket"):
            nar.selected_tree(tmp_path, [b"s"])


@pytest.mark.parametrize(("content", "what"), [(b"1234567", "shorter"), (b"123456789", "longer")])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "file").write_bytes(b"12345678")
    tree = nar.directory_tree(tmp_path)
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(nar.NarError, match=f"^file became {what}"):
        dump(tree)


def test_a_file_that_becomes_something_else(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_bytes(b"")
    tree = nar.directory_tree(tmp_path)
    (tmp_path / "d" / "file").unlink()
    with pytest.raises(nar.NarError, match=r"^d/file cannot be read: No such file"):
        dump(tree)
    # A link put in its place is not followed, a pipe not waited for.
    (tmp_path / "d" / "file").symlink_to("/etc/passwd")
    with pytest.raises(nar.NarError, match=r"^d/file cannot be read"):
        dump(tree)
    (tmp_path / "d" / "file").unlink()
    os.mkfifo(tmp_path / "d" / "file")
    with pytest.raises(nar.NarError, match=r"/d/file was replaced"):
        dump(tree)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b"])
def test_impossible_names_are_refused(name: bytes) -> None:
    with pytest.raises(nar.NarError, match="is not a file name"):
        dump(nar.Directory({name: nar.Symlink(b"x")}))


def test_latest_change(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "new").symlink_to("/nowhere")
    os.utime(tmp_path / "old", (1000, 1000))
    os.utime(tmp_path / "sub" / "new", (3000.9, 3000.9), follow_symlinks=False)
    os.utime(tmp_path / "sub", (2000, 2000))
    os.utime(tmp_path, (1, 1))
    assert nar.latest_change(tmp_path) == 3000


def regular(content: bytes, executable: bool) -> nar.RegularFile:
    return nar.RegularFile(len(content), executable, lambda: io.BytesIO(content))


# A tree as plain data: (content, executable), a link's target, or names and what they stand for.
Plain = tuple[bytes, bool] | bytes | dict[bytes, "Plain"]

file_names = st.binary(min_size=1, max_size=9).filter(
    lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name
)
leaves = st.tuples(st.binary(max_size=20), st.booleans()) | st.binary(min_size=1, max_size=9)
trees = st.recursive(leaves, lambda below: st.dictionaries(file_names, below, max_size=4), max_leaves=12)


def to_node(plain: Plain) -> nar.Node:
    if isinstance(plain, tuple):
        return regular(*plain)
    if isinstance(plain, bytes):
        return nar.Symlink(plain)
    return nar.Directory({name: to_node(below) for name, below in plain.items()})


class Parser:
    """Reads a NAR as strictly as the format's description says."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def string(self) -> bytes:
        size = int.from_bytes(self.data[:8], "little")
        padded = size + -size % 8
        text, padding = self.data[8 : 8 + size], self.data[8 + size : 8 + padded]
        assert len(text) == size
        assert padding == bytes(padded - size)
        self.data = self.data[8 + padded :]
        return text

    def expect(self, *words: bytes) -> None:
        assert tuple(self.string() for _word in words) == words

    def node(self) -> Plain:
        self.expect(b"(", b"type")
        kind = self.string()
        node: Plain
        if kind == b"regular":
            word = self.string()
            executable = word == b"executable"
            if executable:
                self.expect(b"")
                word = self.string()
            assert word == b"contents"
            node = (self.string(), executable)
            self.expect(b")")
        elif kind == b"symlink":
            self.expect(b"target")
            node = self.string()
            self.expect(b")")
        else:
            assert kind == b"directory"
            node = {}
            while self.string() == b"entry":
                self.expect(b"(", b"name")
                name = self.string()
                assert all(name > before for before in node)
                self.expect(b"node")
                node[name] = self.node()
                self.expect(b")")
        return node


@given(trees)
def test_round_trip(plain: Plain) -> None:
    parser = Parser(dump(to_node(plain)))
    parser.expect(b"nix-archive-1")
    assert parser.node() == plain
    assert parser.data == b""


def test_devices_cannot_be_copied() -> None:
    with pytest.raises(nar.NarError, match="/dev/null is a device"):
        nar.directory_tree("/dev/null")


def test_a_directory_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()

    def denied(path: bytes) -> list[bytes]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", denied)
    with pytest.raises(nar.NarError, match="cannot be read: Permission denied"):
        nar.directory_tree(tmp_path)


def test_a_file_that_cannot_be_looked_at() -> None:
    with pytest.raises(nar.NarError, match="cannot be read: File name too long"):
        nar.directory_tree("/" + "x" * 300)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert nar.selected_tree(tmp_path, [b"gone/file"]) == (nar.Directory({}), [b"gone/file"])


def test_a_file_in_an_archive(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_bytes(b"found")
    (tmp_path / "a/b/run").write_bytes(b"x" * 9)
    (tmp_path / "a/b/run").chmod(0o755)
    (tmp_path / "c").write_bytes(b"another")
    (tmp_path / "link").symlink_to("c")
    archive = io.BytesIO()
    nar.write_nar(nar.directory_tree(tmp_path), archive)
    for path, content in (
        (b"a/b/c", b"found"),
        (b"/c", b"another"),
        (b"./a//b/run", b"x" * 9),
        (b"link", None),
        (b"a/b", None),
        (b"a/c", None),
        (b"c/c", None),
    ):
        archive.seek(0)
        assert nar.file_in(archive, path) == content
    whole = archive.getvalue()
    for broken in (whole[:-20], b"", b"x" * 64, whole[:24] + whole[32:]):
        with pytest.raises(nar.NarError):
            nar.file_in(io.BytesIO(broken), b"c")
