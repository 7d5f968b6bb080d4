# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an archive, as Nix sees it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake import nar
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.archive import unpacked
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.snapshot import take_snapshot


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with everything that there may be in one."""
    directory = tmp_path / "source"
    (directory / "a/b").mkdir(parents=True)
    (directory / "empty").mkdir()
    (directory / "a/b/run").write_text("#!/bin/sh\n")
    (directory / "a/b/run").chmod(0o755)
    (directory / "a-b").write_bytes(bytes(range(256)) * 400)
    os.link(directory / "a-b", directory / "hard")
    (directory / "link").symlink_to("a/b/run")
    (directory / "ünï").write_text("")
    return directory


def nar_hash(tree: nar.Node) -> str:
    with take_snapshot(tree, Path("/")) as snapshot:
        return snapshot.nar_hash


def hash_of(archive: Path, tmp_path: Path) -> str:
    (tmp_path / "unpacked").mkdir(exist_ok=True)
    with unpacked(archive, tmp_path / "unpacked") as tree:
        return nar_hash(tree)


def tar(source: Path, to: Path, name: str = "top", format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(to, "w", format=format) as file:
        file.add(source, name)
    return to


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["top", "./top", "."])
def test_tar(source: Path, tmp_path: Path, pack: Callable[[bytes], bytes], name: str) -> None:
    file = tar(source, tmp_path / "file", name)
    file.write_bytes(pack(file.read_bytes()))
    assert hash_of(file, tmp_path) == nar_hash(nar.directory_tree(source))


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_other_forms_of_tar(source: Path, tmp_path: Path, format: int) -> None:
    assert hash_of(tar(source, tmp_path / "file", format=format), tmp_path) == nar_hash(nar.directory_tree(source))


@pytest.mark.skipif(not shutil.which("zstd"), reason="there is no zstd here")
def test_zstd(source: Path, tmp_path: Path) -> None:
    subprocess.run(["zstd", "-q", str(tar(source, tmp_path / "file"))], check=True)
    assert hash_of(tmp_path / "file.zst", tmp_path) == nar_hash(nar.directory_tree(source))


def test_zstd_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "file").write_bytes(b"\x28\xb5\x2f\xfd....")
    with pytest.raises(FlakeError, match="zstd, and that program is not on this machine"):
        hash_of(tmp_path / "file", tmp_path)


def test_zip(source: Path, tmp_path: Path) -> None:
    archive = tmp_path / "file.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(source.rglob("*")):
            name = f"top/{path.relative_to(source)}"
            if path.is_symlink():
                link = zipfile.ZipInfo(name)
                link.external_attr = 0o120777 << 16
                file.writestr(link, os.readlink(path))
            else:
                file.write(path, name)
    assert hash_of(archive, tmp_path) == nar_hash(nar.directory_tree(source))


def test_an_encrypted_zip(tmp_path: Path) -> None:
    archive = tmp_path / "file"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("top/flake.nix", "{ }")
    data = bytearray(archive.read_bytes())
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(header) + flags] |= 1
    archive.write_bytes(data)
    with pytest.raises(FlakeError, match=r"cannot be read: .*encrypted"):
        hash_of(archive, tmp_path)


def test_what_is_not_in_one_directory(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "file", "w") as file:
        for name in ("a", "b"):
            member = tarfile.TarInfo(name)
            member.size = 1
            file.addfile(member, io.BytesIO(b"x"))
    with unpacked(tmp_path / "file", tmp_path) as tree:
        assert isinstance(tree, nar.Directory)
        assert set(tree.entries) == {b"a", b"b"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "a/../../b"}, "leads out of it"),
        ({"name": "a", "type": tarfile.LNKTYPE, "linkname": "b"}, "hard link to nothing"),
        ({"name": "a", "type": tarfile.FIFOTYPE}, "no file, directory or link"),
    ],
)
def test_what_is_refused(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with tarfile.open(tmp_path / "file", "w") as file:
        member = tarfile.TarInfo()
        for name, value in values.items():
            setattr(member, name, value)
        file.addfile(member)
    with pytest.raises(FlakeError, match=words):
        hash_of(tmp_path / "file", tmp_path)


@pytest.mark.parametrize(
    "data", [b"<html>Log in</html>", gzip.compress(b"x" * 2000, mtime=0)[:-20], b"PK\3\4", b"BZh91AY"]
)
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(FlakeError, match="cannot be read"):
        hash_of(tmp_path / "file", tmp_path)
