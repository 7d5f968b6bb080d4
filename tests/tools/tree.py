# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files belong to the project, be the tree a clone, a git worktree or an unpacked tarball."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tools.shell import ROOT, must, output


def files(root: Path = ROOT) -> list[str]:
    """The names of all files but those that .gitignore leaves out.

    Git judges that in an empty repository of its own, so the tree needs none, and neither an index nor the user's
    settings have a say.
    """
    with tempfile.TemporaryDirectory(prefix="deploy-flake-files-") as place:
        must(["git", "init", "--quiet", "--bare", "--template=", place])
        command = ["git", f"--git-dir={place}", f"--work-tree={root}"]
        command += ["ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"]
        names = output(command, cwd=root).split("\0")
    # What ends with a slash is another repository within the tree.
    return sorted(name for name in names if name and not name.endswith("/"))
