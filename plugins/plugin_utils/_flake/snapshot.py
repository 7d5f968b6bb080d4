# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tree of files at one moment, as a NAR with its hash and the store path that follows from it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from . import git, nar
from .reference import FlakeError
from .secret_files import SecretFile, SecretFiles
from .store_path import source_store_path, sri

_IN_MEMORY = 8 << 20


@dataclass(frozen=True)
class Snapshot:
    """A flake's files at one moment, as a NAR."""

    nar: BinaryIO
    nar_hash: str
    nar_size: int
    store_path: str
    secrets: tuple[SecretFile, ...] = ()
    """What looks like one."""

    def __enter__(self) -> Self:
        """Use in a `with` statement, which lets go of the NAR at its end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the NAR."""
        self.nar.close()


def take_snapshot(
    tree: nar.Node, root: Path, file: BinaryIO | None = None, known_secrets: Collection[Path] = ()
) -> Snapshot:
    """Read a tree into a NAR: the file, else a temporary one, in memory while it is small.

    The root is where the tree is, for messages and for the secrets that are known.
    """
    # It outlives this function: the snapshot's user closes it.
    file = file or cast(
        BinaryIO,
        tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, prefix="deploy-flake-", suffix=".nar"),  # noqa: SIM115
    )
    sink = _HashingSink(file)
    try:
        secrets = SecretFiles(tree, root, known_secrets)
        nar.write_nar(tree, sink, secrets.look)
    except (nar.NarError, git.GitError) as error:
        file.close()
        raise FlakeError(f"the flake in {root} cannot be copied: {error}") from error
    except BaseException:
        file.close()
        raise
    file.seek(0)
    digest = sink.hash.digest()
    return Snapshot(file, sri(digest), sink.size, source_store_path(digest), tuple(secrets.found))


class _HashingSink:
    """Writes to a file, and takes the hash and the size of what is written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> None:
        """Take the next bytes."""
        self.file.write(data)
        self.hash.update(data)
        self.size += len(data)
