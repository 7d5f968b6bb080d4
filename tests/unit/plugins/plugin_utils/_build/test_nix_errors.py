# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nix's words for an error are known in one place: recorded from Nix 2.26.3 (names replaced), and its sources'."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.nix_errors import (
    NixError,
    message_in,
    recognised,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.nix_log import BuildLog

HERE = Path(__file__).parent
KNOWN = {
    "download-error": {NixError.CANNOT_FETCH},
    "disk-full": {NixError.DISK_FULL},
    "lock-file": {NixError.INCOMPLETE_LOCK_FILE},
    "missing-attribute": {NixError.NO_SUCH_ATTRIBUTE},
}


@pytest.mark.parametrize("log", sorted((HERE / "build_logs").iterdir()), ids=lambda path: path.stem)
def test_recorded_builds(log: Path) -> None:
    build = BuildLog()
    build.feed(log.read_bytes())
    assert recognised(build.error, build.log_tail) == KNOWN.get(log.stem, set())


@pytest.mark.parametrize(
    ("name", "known", "first"),
    [
        ("missing-attribute", NixError.NO_SUCH_ATTRIBUTE, "error: flake 'path:/srv/f2' does not provide attribute"),
        ("lock-file", NixError.INCOMPLETE_LOCK_FILE, "error:"),
        ("no-update-lock-file", NixError.INCOMPLETE_LOCK_FILE, "error:"),
    ],
)
def test_recorded_evaluations(name: str, known: NixError, first: str) -> None:
    message = message_in((HERE / f"eval_errors/{name}.txt").read_text(encoding="utf-8"))
    assert message.splitlines()[0].startswith(first)
    assert recognised(message) == {known}


@pytest.mark.parametrize(
    ("message", "known"),
    [
        # Of a flake that the host fetches itself, and of one in the store.
        ("error: cannot write modified lock file of flake 'github:a/b' (use '--no-write-lock-file' to ignore)",
         NixError.INCOMPLETE_LOCK_FILE),
        ("error: creating file '\"/nix/store/x-source/flake.lock\"': Read-only file system",
         NixError.INCOMPLETE_LOCK_FILE),
        ("error: attribute 'dirtyRev' missing\n at /nix/store/x-source/flake.nix:3:20", NixError.NO_DIRTY_REVISION),
        ("error: attribute 'dirtyShortRev' missing", NixError.NO_DIRTY_REVISION),
        ("error: Unable to start any build; either increase '--max-jobs' or enable remote builds.",
         NixError.MAY_NOT_BUILD),
        (("error: 2 derivations need to be built, but neither local builds ('--max-jobs') nor remote builds"
          " ('--builders') are enabled"), NixError.MAY_NOT_BUILD),
        ("error: path '/nix/store/x-y' is required, but there is no substituter that can build it",
         NixError.MAY_NOT_BUILD),
        # Nix 2.26.
        ("error: unexpected flake input attribute 'submodules', at /nix/store/x-source/flake.nix:1:3",
         NixError.UNKNOWN_OF_SELF),
        ("error: unexpected flake input attribute 'lfs', at /nix/store/x-source/flake.nix:1:3",
         NixError.UNKNOWN_OF_SELF),
        ("error: executing SQLite statement 'x': database or disk is full", NixError.DISK_FULL),
    ],
)  # fmt: skip
def test_words_of_other_places_and_releases(message: str, known: NixError) -> None:
    assert recognised(message) == {known}


def test_of_a_builds_log_only_a_full_disk_is_believed() -> None:
    everything = ["does not provide attribute", "cannot write modified lock file", "cc: No space left on device"]
    assert recognised("error: builder failed", everything) == {NixError.DISK_FULL}
    assert recognised("", everything[:2]) == set()


def test_the_message_is_without_what_came_before_it() -> None:
    text = "warning: x\n\x1b[31;1merror:\x1b[0m one\n  two\n"
    assert message_in(text) == "error: one\n  two"
    assert message_in("warning: error: x") == ""
    long = "\n".join(["error: first", *map(str, range(100)), "error: last"])
    assert message_in(long).splitlines() == [*map(str, range(71, 100)), "error: last"]


SAID = ["Host key verification failed.", "fatal: Could not read from remote repository."]
FAILED = """error:
       … while fetching the input 'git+ssh://git@forge/hosts'

       error: program 'git' failed with exit code 128"""


@pytest.mark.parametrize(
    "error",
    [
        "error: Failed to fetch git repository 'ssh://git@forge/hosts'",
        "error: resolving Git reference 'main': revspec 'main' not found",
        "error: Cannot find Git revision 'abc' in ref 'main' of repository 'ssh://git@forge/hosts'!",
    ],
)
def test_errors_that_follow_what_git_said(error: str) -> None:
    assert NixError.PROGRAM_FAILED in recognised(error)


def test_what_git_and_ssh_said_is_in_the_message() -> None:
    assert message_in("\n".join(["warning: x", *SAID, "", FAILED])) == "\n".join([*SAID, FAILED])
    log = BuildLog()
    log.feed("\n".join([*SAID, f"@nix {json.dumps({'action': 'msg', 'level': 0, 'msg': FAILED})}", ""]).encode())
    assert log.error == "\n".join([*SAID, FAILED])
    # What else was printed has nothing to do with another error.
    assert message_in("\n".join(["hello", "error: one"])) == "error: one"
