# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts and flakes that have moved apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.repository import commit, git

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.drift import Drift, DriftState, compare
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.local import LocalFlake, find_flake
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.locked import LockedFlake

NEVER = "f" * 40


@pytest.fixture
def commits(tmp_path: Path) -> list[str]:
    """Three commits of a flake in tmp_path, oldest first."""
    git(tmp_path, "init", "--quiet")
    return [commit(tmp_path, text) for text in ("{ }", "{ a = 1; }", "{ a = 2; }")]


def local(root: Path) -> LocalFlake:
    found = find_flake(str(root), root)
    assert isinstance(found, LocalFlake)
    return found


def nar_hash(root: Path) -> str:
    with local(root).snapshot() as snapshot:
        return snapshot.nar_hash


def test_same_revision(tmp_path: Path, commits: list[str]) -> None:
    assert compare(local(tmp_path), commits[2], {}) == Drift(DriftState.NONE, "no", commits[2], commits[2])
    # The system does not know, and its deployment does.
    assert compare(local(tmp_path), "", {"revision": commits[2]}).state == "none"


def test_commits_behind_ahead_and_elsewhere(tmp_path: Path, commits: list[str]) -> None:
    assert compare(local(tmp_path), commits[0], {}).text == "2 behind"
    git(tmp_path, "checkout", "--quiet", "-b", "other", commits[0])
    assert compare(local(tmp_path), commits[2], {}).text == "2 ahead"
    commit(tmp_path, "{ b = 1; }")
    found = compare(local(tmp_path), commits[2], {})
    assert (found.state, found.text) == ("drifted", "1 behind, 2 ahead")
    assert compare(local(tmp_path), NEVER, {}).text == "another commit"


def test_same_content_of_another_commit(tmp_path: Path, commits: list[str]) -> None:
    recorded = {"revision": commits[2], "nar_hash": nar_hash(tmp_path)}
    git(tmp_path, "commit", "--quiet", "--amend", "-m", "in better words")
    assert compare(local(tmp_path), commits[2], recorded).state == "none"


def test_trees_with_changes(tmp_path: Path, commits: list[str]) -> None:
    clean = nar_hash(tmp_path)
    (tmp_path / "flake.nix").write_text("{ a = 3; }", encoding="utf-8")
    assert compare(local(tmp_path), commits[2], {"nar_hash": clean}).text == "other content"
    assert compare(local(tmp_path), "", {"nar_hash": nar_hash(tmp_path)}).state == "none"
    unknown = compare(local(tmp_path), commits[2], {})
    assert (unknown.state, unknown.why) == ("unknown", "the flake has no revision to compare with")
    # What was deployed with changes is no commit's.
    git(tmp_path, "checkout", "--quiet", "flake.nix")
    assert compare(local(tmp_path), f"{commits[2]}-dirty", {}).text == "other content"


def test_nobody_knows(tmp_path: Path, commits: list[str]) -> None:
    unknown = compare(local(tmp_path), "", {})
    assert (unknown.state, unknown.why) == ("unknown", "the host does not know what its system was built from")


def test_other_configuration(tmp_path: Path, commits: list[str]) -> None:
    recorded = {"configuration": "web1", "revision": commits[2]}
    assert compare(local(tmp_path), commits[2], recorded, "web2").text == "configuration web1"
    assert compare(local(tmp_path), commits[2], recorded, "web1").state == "none"


@pytest.mark.parametrize(
    ("reference", "revision", "state"),
    [
        (f"github:o/r/{NEVER}", NEVER, "none"),
        (f"git+https://example.org/r?rev={NEVER}&ref=main", NEVER, "none"),
        (f"github:o/r/{NEVER}", "e" * 40, "drifted"),
        (f"github:o/r/{NEVER}", "", "unknown"),
        ("github:o/r", NEVER, "unknown"),
    ],
)
def test_remote_flakes(reference: str, revision: str, state: str) -> None:
    found = compare(find_flake(reference, Path("/")), revision, {})
    assert found.state == state
    assert ("nobody could tell" in found.why) == (reference == "github:o/r")
    assert ("the host does not know" in found.why) == (revision == "")


@pytest.mark.parametrize(
    ("ours", "said", "record", "expected"),
    [
        (NEVER, NEVER, {}, ("none", "no")),
        (NEVER, "", {"revision": NEVER}, ("none", "no")),
        (NEVER, "e" * 40, {}, ("drifted", "another commit")),
        # The same content, in another commit.
        (NEVER, "e" * 40, {"nar_hash": "sha256-a"}, ("none", "no")),
        (None, "", {"nar_hash": "sha256-a"}, ("none", "no")),
        (None, "", {"nar_hash": "sha256-b"}, ("drifted", "other content")),
        (None, "", {}, ("unknown", "unknown")),
    ],
)
def test_remote_flakes_that_were_resolved(
    ours: str | None, said: str, record: dict[str, str], expected: tuple[str, str]
) -> None:
    found = compare(LockedFlake("x", "x", "sha256-a", revision=ours), said, record)
    assert (found.state, found.text) == expected


@pytest.mark.parametrize("said", ["--all", "HEAD", "$(id)", "main"])
def test_what_a_host_says_is_no_argument_of_git(tmp_path: Path, commits: list[str], said: str) -> None:
    assert compare(local(tmp_path), said, {}).text == "other content"
