# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a source sends where signatures are checked: nothing else than what was signed gets to another host."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Mapping

import pytest
from unit.closures import path

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._closure.signatures import Signed
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._closure.stream import CheckedStream
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.nar import (
    Directory,
    Node,
    RegularFile,
    Symlink,
    write_nar,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

LIBC, WEB, EVIL = map(path, "lwv")


def file(data: bytes, executable: bool = False) -> RegularFile:
    return RegularFile(len(data), executable, lambda: io.BytesIO(data))


TREES: dict[str, Node] = {
    LIBC: file(b"x" * 200_001),
    WEB: Directory({b"bin": Directory({b"sh": file(b"#!", True), b"a": Symlink(b"sh")}), b"empty": file(b"")}),
    EVIL: file(b"evil"),
}
REFERENCES: dict[str, frozenset[str]] = {LIBC: frozenset(), WEB: frozenset((LIBC, WEB)), EVIL: frozenset()}


def nar(tree: Node) -> bytes:
    sink = io.BytesIO()
    write_nar(tree, sink)
    return sink.getvalue()


def text(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def exported(name: str, tree: Node | None = None, references: frozenset[str] | None = None) -> bytes:
    """One path, as `nix-store --export` has it."""
    its = REFERENCES[name] if references is None else references
    end = [text(name.encode()), number(len(its)), *(text(one.encode()) for one in sorted(its)), text(b""), number(0)]
    return number(1) + nar(tree or TREES[name]) + number(0x4558494E) + b"".join(end)


def said(*names: str) -> dict[str, Signed]:
    found = {name: nar(TREES[name]) for name in names}
    return {
        name: Signed(hashlib.sha256(data).digest(), len(data), REFERENCES[name], "") for name, data in found.items()
    }


def feed(data: bytes, signed: Mapping[str, Signed], packed: bool, size: int = 1000) -> int:
    """Give it all, piece by piece; how many bytes another host would have got when it ended."""
    stream = CheckedStream("build1", signed, signed, packed)
    for at in range(0, max(len(data), 1), size):
        stream.feed(data[at : at + size], last=at + size >= len(data))
    return len(data)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("order", [(LIBC, WEB), (WEB, LIBC)])
def test_what_was_signed(packed: bool, size: int, order: tuple[str, str]) -> None:
    """In whatever order Nix has them."""
    data = b"".join(map(exported, order)) + number(0)
    if size == 1:
        data = exported(WEB) + number(0)
    feed(gzip.compress(data) if packed else data, said(*(order if size > 1 else [WEB])), packed, size)


SOMETHING_ELSE: dict[str, Callable[[], bytes]] = {
    "another content": lambda: exported(WEB, file(b"evil")) + exported(LIBC) + number(0),
    "the content of another": lambda: exported(WEB, TREES[LIBC]) + exported(LIBC) + number(0),
    "a larger one": lambda: exported(WEB, file(b"x" * 300_000)) + exported(LIBC) + number(0),
    "a path more": lambda: exported(WEB) + exported(EVIL) + exported(LIBC) + number(0),
    "a path more in the end": lambda: exported(WEB) + exported(LIBC) + exported(EVIL) + number(0),
    "a path twice": lambda: exported(WEB) + exported(WEB) + exported(LIBC) + number(0),
    "a path less": lambda: exported(WEB) + number(0),
    "cut off": lambda: exported(WEB) + exported(LIBC)[:-100],
    "other references": lambda: exported(WEB, references=frozenset((EVIL, LIBC))) + exported(LIBC) + number(0),
    "no references": lambda: exported(WEB, references=frozenset()) + exported(LIBC) + number(0),
    "more behind it": lambda: exported(WEB) + exported(LIBC) + number(0) + exported(EVIL) + number(0),
    "no NAR": lambda: number(1) + text(b"nix-archive-2") + exported(LIBC),
    "nothing": lambda: b"",
    "deep": lambda: number(1) + text(b"nix-archive-1") + b"".join(map(text, DEEP)) * 2000,
}
DEEP: tuple[bytes, ...] = (b"(", b"type", b"directory", b"entry", b"(", b"name", b"a", b"node")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("what", SOMETHING_ELSE)
def test_something_else(what: str, packed: bool) -> None:
    data = SOMETHING_ELSE[what]()
    with pytest.raises(HostError, match="build1 has sent something else than") as refused:
        feed(gzip.compress(data) if packed else data, said(WEB, LIBC), packed)
    assert refused.value.reason == Refusal.NOT_SIGNED


def test_the_piece_that_ends_a_wrong_path_is_refused_itself() -> None:
    """With its end another host would have it in its store."""
    data = exported(WEB, file(b"evil" * 1000))
    signed = said(WEB, LIBC)
    end = data.index(number(0x4558494E))
    stream = CheckedStream("build1", signed, signed, packed=False)
    with pytest.raises(HostError):
        stream.feed(data[: end + 1], last=False)


def test_a_packed_stream_behind_another() -> None:
    """gzip unpacks both."""
    data = exported(WEB) + exported(LIBC) + number(0)
    with pytest.raises(HostError, match="more comes behind"):
        feed(gzip.compress(data) + gzip.compress(exported(EVIL)), said(WEB, LIBC), packed=True, size=1 << 20)
