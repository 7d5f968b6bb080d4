# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a flake sees of its own source on a host, and what a copy cannot have."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from integration.playing import deploy

from lab import Host, Lab

TOPLEVEL = "nixosConfigurations.host1.config.system.build.toplevel"
SAYS = f'{{ %s outputs = {{ self }}: {{ {TOPLEVEL} = throw "says ${{toString %s}}"; }}; }}'


def evaluated(lab: Lab, directory: Path, flake: Path) -> str:
    """What an evaluation on the host says."""
    played = deploy(lab, directory, flake, "host1", options="--check", deploy_flake_check_builds=False)
    return "\n".join(str(result["msg"]) for result in played.results["host1"] if result.get("failed"))


def test_what_a_flake_sees_of_itself(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    root = tmp_path / "flake"
    root.mkdir()
    (root / "flake.nix").write_text(SAYS % ("", "self.lastModified"))
    for path in (root / "flake.nix", root):
        os.utime(path, (-100, -100))
    assert "says 0" in evaluated(lab, tmp_path, root)

    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for arguments in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "one")):
        subprocess.run(["git", "-C", str(root), *arguments], check=True)
    (root / "flake.nix").write_text(SAYS % ("", "self.dirtyRev"))
    assert "write 'self.rev or self.dirtyRev or null'" in evaluated(lab, tmp_path, root)

    # The hosts of the lab have Nix 2.26.
    (root / "flake.nix").write_text(SAYS % ("inputs.self.submodules = true;", "1"))
    assert "needs Nix 2.27 or newer" in evaluated(lab, tmp_path, root)
