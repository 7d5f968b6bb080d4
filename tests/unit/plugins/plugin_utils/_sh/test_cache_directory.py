# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a build keeps its cache, in the shells that a host may have."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))

pytestmark = pytest.mark.shell


def chosen(shell: list[str], home: Path, uid: int | None = None) -> str:
    """The name of the directory that a unit would get; "" where the cache is in the home."""
    uid = os.getuid() if uid is None else uid
    # The tools themselves are called, but for those that know the users.
    script = (
        f'{join("lib/cache_directory")}\ntimeout() {{ shift 3; "$@"; }}\nid() {{ echo {uid}; }}\n'
        f"getent() {{ echo 'me:x:{uid}:{uid}::{home}:/bin/sh'; }}\nlogin_user=me\nchoose_cache\necho \"$cache_name\"\n"
    )
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert not done.stderr, done.stderr
    return done.stdout.strip()


@every_shell
def test_a_home_of_the_users_own_has_the_cache(shell: list[str], tmp_path: Path) -> None:
    assert chosen(shell, tmp_path) == ""
    (tmp_path / ".cache/nix").mkdir(parents=True)
    assert chosen(shell, tmp_path) == ""


@every_shell
def test_a_home_that_cannot_be_written_to_has_none(shell: list[str], tmp_path: Path) -> None:
    own = f"deploy-flake/{os.getuid()}"
    assert chosen(shell, tmp_path / "nowhere") == own
    tmp_path.chmod(0o555)
    assert chosen(shell, tmp_path) == own
    # Read-only for everybody, as /var/empty is.
    assert chosen(shell, Path("/proc")) == own


@every_shell
@pytest.mark.parametrize("place", [".", ".cache", ".cache/nix"])
def test_what_is_somebody_elses_is_in_the_way(shell: list[str], tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    uid = os.getuid()
    if place == ".":
        uid += 1
    elif uid == 0:
        os.chown(tmp_path / place, 12345, -1)
    else:
        (tmp_path / place).chmod(0o500)
    assert chosen(shell, tmp_path, uid) == f"deploy-flake/{uid}"
