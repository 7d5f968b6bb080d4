# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One snapshot of a flake for all hosts of a task: the first process that needs it takes it.

So all of them get the same, whatever becomes of the files meanwhile, and a large flake is read once, not for each host.
A remote flake is fetched once for all tasks of a run: it may change at any moment, and nobody here would know.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import pickle
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from . import git, nar
from .credentials import Credentials
from .history import fetch_branches, fetch_history
from .local import (
    FLAKE,
    LocalFlake,
    LocalInput,
    LocalInputs,
    RemoteFlake,
    find_flake,
    is_remote,
    local_inputs,
    remote_inputs,
)
from .locked import Fetched, LockedFlake
from .reference import FlakeError
from .remote_input import RemoteInput
from .snapshot import Snapshot
from .unlocked import Unlocked, unlocked_inputs

_LEVEL = 4
"""Of gzip: links are slower than that, and higher ones save little of a source."""


@dataclass(frozen=True)
class SharedFlake:
    """What a flake reference means on this machine, with all that was read for it."""

    flake: LocalFlake | LockedFlake
    """A local one is without its tree: the snapshot has the files."""
    inputs: LocalInputs
    snapshot: Snapshot
    is_first: bool
    """Whether this process has read it: what there is to say of it need not be said for each host."""
    unlocked: tuple[Unlocked, ...] = ()
    """Inputs that the flake's lock file lacks."""
    history: Path | None = None
    """Of a remote flake: where its repository is, once it was fetched."""


Fetch = Callable[[str, BinaryIO], Fetched]
"""Fetches a remote flake: resolves its reference, and writes the NAR of its source into a file."""


def shared_flake(
    reference: str,
    cwd: Path,
    file: Path,
    fetch: Fetch,
    known_secrets: Collection[Path] = (),
    entry: str = FLAKE,
) -> SharedFlake:
    """Find a flake and take its snapshot; or open the one that another process has put where the file is.

    With another `entry` it is a tree of Nix files that need not be a flake.
    """
    if is_remote(reference, cwd):
        name = hashlib.sha256(reference.encode(errors="surrogateescape")).hexdigest()[:32]
        file = file.with_name(f"deploy-flake-remote-{name}")
    nar_file = file.with_suffix(".nar")
    try:
        read = partial(_read, reference, cwd, nar_file, fetch, known_secrets, entry)
        (flake, inputs, unlocked, facts), is_first = _once(file, read)
        history = history_of(nar_file) if isinstance(flake, LockedFlake) else None
        return SharedFlake(flake, inputs, Snapshot(nar_file.open("rb"), *facts), is_first, unlocked, history)
    except OSError as error:
        raise FlakeError(f"the flake {reference!r} cannot be copied: {error}") from error


def _once(file: Path, make: Callable[[], Any], failed: Path | None = None) -> tuple[Any, bool]:
    """What the first process has made, kept where the file is; and whether this process is it.

    Where it fails or is killed there is no such file, and the next process begins from the beginning; but with `failed`
    it fails as the first one did.
    """
    with file.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_first = not file.exists()
        if is_first:
            made = make() if failed is None else _made(make, failed)
            written = file.with_suffix(".new")
            written.write_bytes(pickle.dumps(made))
            written.replace(file)
    # Nobody but this run of Ansible writes there.
    return pickle.loads(file.read_bytes()), is_first


def _made(make: Callable[[], Any], failed: Path) -> Any:
    if failed.exists():
        raise FlakeError(failed.read_text(encoding="utf-8", errors="surrogateescape"))
    try:
        return make()
    except FlakeError as error:
        failed.write_text(str(error), encoding="utf-8", errors="surrogateescape")
        raise


def history_of(nar_file: Path) -> Path:
    """Where the repository of a remote flake is kept, if it was fetched: beside the NAR of its source."""
    return nar_file.with_suffix(".git")


def shared_history(
    flake: LockedFlake, history: Path, other: str, fetch: bool, credentials: Credentials, limit: float
) -> None:
    """Fetch the repository of a remote flake, unless another process has; FlakeError where it, or that, could not.

    With `fetch` alone, where there is none. One that has only what the reference names gets the branches as well, if
    it lacks the other commit.
    """
    failed = history.with_suffix(f".git-failed-{credentials.key}")
    whole = history.with_suffix(".git-whole")
    try:
        with history.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            is_there = history.exists()
            if is_there and (whole.exists() or git.has_commit(history, other) or git.is_shallow(history)):
                return
            if not is_there and not fetch:
                return
            if failed.exists():
                raise FlakeError(failed.read_text(encoding="utf-8", errors="surrogateescape"))
            try:
                if is_there:
                    fetch_branches(flake.url, history, credentials, limit)
                else:
                    fetch_history(flake.url, flake.revision or "", history, credentials, limit)
            except FlakeError as error:
                failed.write_text(str(error), encoding="utf-8", errors="surrogateescape")
                raise
            whole.touch()
    except OSError as error:
        raise FlakeError(f"it cannot be kept on the controller: {error}") from error


def _read(
    reference: str, cwd: Path, nar_file: Path, fetch: Fetch, known_secrets: Collection[Path], entry: str
) -> tuple[Any, ...]:
    """What the other processes have to know. The tree may hold open files, which cannot go to them."""
    flake = find_flake(reference, cwd, entry)
    if isinstance(flake, RemoteFlake):
        with nar_file.open("w+b") as file:
            fetched = fetch(reference, file)
        name = f"{fetched.flake.directory}/flake.lock"
        with nar_file.open("rb") as file:
            text = nar.file_in(file, os.fsencode(name))
        inputs = LocalInputs() if text is None else LocalInputs(remote=remote_inputs(text, f"{reference}: {name}"))
        return fetched.flake, inputs, fetched.unlocked, _facts(fetched.snapshot)
    inputs = local_inputs(flake)
    with flake.snapshot(nar_file.open("w+b"), known_secrets) as snapshot:
        facts = _facts(snapshot)
    return replace(flake, tree=nar.Directory({})), inputs, unlocked_of(flake), facts


def _facts(snapshot: Snapshot) -> tuple[Any, ...]:
    return snapshot.nar_hash, snapshot.nar_size, snapshot.store_path, snapshot.secrets


@dataclass(frozen=True)
class SharedInput:
    """An input that was fetched once for all hosts."""

    file: Path
    """Its NAR, packed by gzip."""
    nar_size: int


def shared_input(one: RemoteInput, directory: Path, credentials: Credentials, limit: float) -> SharedInput:
    """Fetch an input, or find what another process has fetched; FlakeError where it, or that process, could not.

    The other hosts' processes need not wait for a failure once more; one with other credentials may well succeed.
    """
    file = directory / f"deploy-flake-input-{one.store_path.rpartition('/')[2]}"
    failed = file.with_suffix(f".failed-{credentials.key}")
    fetch = partial(_fetch, one, file.with_suffix(".nar.gz"), credentials, limit)
    try:
        return cast(SharedInput, _once(file, fetch, failed)[0])
    except OSError as error:
        raise FlakeError(f"input '{one.name}' cannot be kept on the controller: {error}") from error


def shared_local_input(one: LocalInput, directory: Path, known_secrets: Collection[Path]) -> Snapshot:
    """Read an input that is on this machine, or open what another process has read; FlakeError where it has changed."""
    file = directory / f"deploy-flake-local-input-{one.store_path.rpartition('/')[2]}"
    nar_file = file.with_suffix(".nar")

    def read() -> tuple[Any, ...]:
        with one.snapshot(known_secrets, nar_file.open("w+b")) as snapshot:
            return _facts(snapshot)

    try:
        facts, _is_first = _once(file, read, file.with_suffix(".failed"))
        return Snapshot(nar_file.open("rb"), *facts)
    except OSError as error:
        raise FlakeError(f"input '{one.name}' cannot be kept on the controller: {error}") from error


def _fetch(one: RemoteInput, file: Path, credentials: Credentials, limit: float) -> SharedInput:
    try:
        with file.open("wb") as whole, gzip.GzipFile("", "wb", _LEVEL, cast(BinaryIO, whole), 0) as packed:
            snapshot = one.fetch(credentials, cast(BinaryIO, _Packing(packed)), limit)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return SharedInput(file, snapshot.nar_size)


class _Packing:
    """What a snapshot needs of a file, of one that is packed while it is written."""

    def __init__(self, packed: gzip.GzipFile) -> None:
        self.write = packed.write

    def seek(self, _to: int) -> None:
        """Nobody reads it from here."""

    def close(self) -> None:
        """Whoever has opened it closes it."""


def unlocked_of(flake: LocalFlake) -> tuple[Unlocked, ...]:
    """What flake.nix asks for and the lock file does not have, where that is a file and no link."""
    if flake.entry != FLAKE:
        return ()
    text = nar.find_followed(flake.tree, os.fsencode(f"{flake.directory}/flake.nix"))
    lock = nar.find(flake.tree, os.fsencode(f"{flake.directory}/flake.lock"))
    if not isinstance(text, nar.RegularFile) or not isinstance(lock, nar.RegularFile | None):
        return ()
    return unlocked_inputs(nar.read(text), None if lock is None else nar.read(lock))
