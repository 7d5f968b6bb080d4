# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A git repository with a flake, for tests of what git says of it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """Run git there, as somebody; what it prints."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path, flake_nix: str) -> str:
    """Commit this flake.nix, and nothing else; the revision."""
    (root / "flake.nix").write_text(flake_nix, encoding="utf-8")
    git(root, "add", "flake.nix")
    git(root, "commit", "--quiet", "-m", flake_nix)
    return git(root, "rev-parse", "HEAD")
