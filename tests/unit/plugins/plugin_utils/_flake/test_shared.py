# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of all hosts get one snapshot, whoever takes it."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.local import LocalFlake, LocalInput
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.locked import Fetched, LockedFlake
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.nar import directory_tree
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.shared import shared_flake, shared_local_input
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.snapshot import take_snapshot
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.store_path import sri
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.unlocked import Unlocked


@pytest.fixture
def flake(tmp_path: Path) -> Path:
    directory = tmp_path / "flake"
    directory.mkdir()
    (directory / "flake.nix").write_text("{ }")
    return directory


def no_fetch(reference: str, _file: BinaryIO) -> Fetched:
    raise AssertionError(f"{reference} lies on this machine")


def nar_hash(kept: Path, flake: Path, change: str = "") -> str:
    """The hash of the NAR that one process gets; another one may change the flake as soon as this one has it."""
    snapshot = shared_flake(f"path:{flake}", Path("/"), kept, no_fetch).snapshot
    assert snapshot is not None
    with snapshot:
        if change:
            (flake / "flake.nix").write_text(change)
        content = snapshot.nar.read()
    assert (sri(hashlib.sha256(content).digest()), len(content)) == (snapshot.nar_hash, snapshot.nar_size)
    return snapshot.nar_hash


def test_all_processes_get_the_same(flake: Path, tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        ask: Callable[..., list[str]] = pool.starmap
        hashes = ask(nar_hash, [(tmp_path / "task", flake, f"{{ n = {number}; }}") for number in range(8)], chunksize=1)
        later = ask(nar_hash, [(tmp_path / "another task", flake)])
        # To be killed is not enough for one that waits for a lock: a TaskQueueManager in another test leaves a handler.
        pool.close()
        pool.join()
    assert len(set(hashes)) == 1
    assert later[0] not in hashes


def test_what_else_was_read_is_the_same_too(flake: Path, tmp_path: Path) -> None:
    first, second = (shared_flake(f"path:{flake}", Path("/"), tmp_path / "task", no_fetch) for _process in range(2))
    assert isinstance(first.flake, LocalFlake)
    assert (second.flake, second.inputs) == (first.flake, first.inputs)
    assert first.flake.root == flake
    assert first.snapshot is not None and second.snapshot is not None
    with first.snapshot, second.snapshot:
        assert first.flake.locked_reference(first.snapshot) == first.flake.locked_reference(second.snapshot)


def test_a_remote_flake_is_fetched_once_a_run(flake: Path, tmp_path: Path) -> None:
    """Also for another task, and again only where it failed."""
    asked: list[str] = []

    def fetch(reference: str, file: BinaryIO) -> Fetched:
        asked.append(reference)
        if len(asked) == 1:
            raise FlakeError("not now")
        (flake / "flake.nix").write_text(f"{{ n = {len(asked)}; }}")
        snapshot = take_snapshot(directory_tree(flake), flake, file)
        return Fetched(LockedFlake(reference, f"{reference}/1", snapshot.nar_hash), snapshot, (Unlocked("a", "x"),))

    with pytest.raises(FlakeError, match="not now"):
        shared_flake("github:a/b", Path("/"), tmp_path / "task", fetch)
    found = [shared_flake("github:a/b", Path("/"), tmp_path / task, fetch) for task in ("task", "task", "another")]
    assert asked == ["github:a/b"] * 2
    assert len({(one.flake, one.unlocked, one.snapshot.nar_hash) for one in found}) == 1
    assert [one.is_first for one in found] == [True, False, False]
    other = shared_flake("github:a/c", Path("/"), tmp_path / "task", fetch)
    assert other.snapshot.nar_hash != found[0].snapshot.nar_hash
    for one in (*found, other):
        one.snapshot.nar.close()


def test_inputs_of_a_remote_flake_are_known(flake: Path, tmp_path: Path) -> None:
    """All but those that are local, which are so on another machine."""
    lies = {"narHash": sri(bytes(32))}
    nodes = {
        "web": {"locked": {"type": "tarball", "url": "https://example.org/x", **lies}},
        "path": {"locked": {"type": "path", "path": "/etc/passwd", **lies}},
        "git": {"locked": {"type": "git", "url": "file:///srv/x", "rev": "1" * 40, **lies}},
    }
    (flake / "hosts").mkdir()
    (flake / "hosts/flake.lock").write_text(json.dumps({"version": 7, "nodes": nodes}))
    (flake / "hosts.txt").write_text("x")
    (flake / "link").symlink_to("hosts")

    def fetch(reference: str, file: BinaryIO) -> Fetched:
        snapshot = take_snapshot(directory_tree(flake), flake, file)
        directory = "hosts" if "hosts" in reference else ""
        return Fetched(LockedFlake(reference, reference, snapshot.nar_hash, directory), snapshot)

    for reference, names in (("github:a/b?dir=hosts", ["web"]), ("github:a/b", [])):
        found = shared_flake(reference, Path("/"), tmp_path / "task", fetch)
        found.snapshot.nar.close()
        assert [one.name for one in found.inputs.remote] == names
        assert not found.inputs.found


def test_a_failure_is_not_kept(flake: Path, tmp_path: Path) -> None:
    away = flake.rename(tmp_path / "away")
    with pytest.raises(FlakeError, match="does not exist"):
        nar_hash(tmp_path / "task", flake)
    away.rename(flake)
    assert nar_hash(tmp_path / "task", flake)


def test_no_place_to_keep_it(flake: Path, tmp_path: Path) -> None:
    """Whoever cleans up the controller's temporary files has taken Ansible's directory along."""
    with pytest.raises(FlakeError, match=r"cannot be copied: .*No such file"):
        nar_hash(tmp_path / "run" / "task", flake)


def test_an_input_on_this_machine_is_read_once(tmp_path: Path) -> None:
    """It may change as soon as one process has it; and what a process that was killed has written is read anew."""
    root = tmp_path / "input"
    root.mkdir()
    (root / "flake.nix").write_text("{ }")
    with take_snapshot(directory_tree(root), root) as taken:
        found = LocalInput("one", f"path:{root}", taken.nar_hash, taken.store_path, root, None)
    kept = tmp_path / "kept"
    kept.mkdir()
    name = f"deploy-flake-local-input-{Path(taken.store_path).name}"
    (kept / f"{name}.nar").write_bytes(b"half of it" * 1000)
    (kept / f"{name}.new").write_bytes(b"half of it")
    contents = []
    for text in ("{ changed = 1; }", "{ changed = 2; }"):
        with shared_local_input(found, kept, ()) as snapshot:
            contents.append(snapshot.nar.read())
        (root / "flake.nix").write_text(text)
    assert {sri(hashlib.sha256(content).digest()) for content in contents} == {taken.nar_hash}
    (tmp_path / "other").mkdir()
    with pytest.raises(FlakeError, match="is not what the lock file says"):
        shared_local_input(found, tmp_path / "other", ())
    assert not (tmp_path / "other" / name).exists()
    # Whoever comes next does not read all of it once more to say the same.
    shutil.rmtree(root)
    with pytest.raises(FlakeError, match="is not what the lock file says"):
        shared_local_input(found, tmp_path / "other", ())
