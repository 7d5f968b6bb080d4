# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of names, with the tools that a host may have: where /bin/sh is busybox its own ones may come first."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join


@pytest.mark.parametrize("tools", ["system", "busybox"])
@pytest.mark.parametrize(
    ("listed", "without"),
    [
        ("", "a.service b\\x2dc.mount 1 01"),
        ("1\n", "a.service b\\x2dc.mount 01"),
        ("b\\x2dc.mount\na\n.*\n\n", "a.service 1 01"),
        ("a.service\nb\\x2dc.mount\n1\n01\n", ""),
        (None, "a.service b\\x2dc.mount 1 01"),
    ],
    ids=["empty", "one", "no-pattern", "all", "missing"],
)
def test_lines_without(tmp_path: Path, tools: str, listed: str | None, without: str) -> None:
    path = "/usr/bin:/bin"
    if tools == "busybox":
        (tmp_path / "awk").symlink_to(str(shutil.which("busybox")))
        path = f"{tmp_path}:{path}"
    if listed is not None:
        (tmp_path / "listed").write_text(listed)
    done = subprocess.run(
        ["dash", "-c", f"{join('lib/lines')}\nPATH={path}\nlines_without {tmp_path}/listed"],
        input="a.service\nb\\x2dc.mount\n1\n01\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.split() == without.split()
