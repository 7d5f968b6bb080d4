# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""deploy-flake's own flake, for real Nix on a host of the lab, with a stand-in for nixpkgs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from integration.commanding import ROOT

from lab import Host

STAND_IN = ROOT / "tests" / "package" / "nixpkgs"
_FEATURES = {"NIX_CONFIG": "experimental-features = nix-command flakes"}


class Nix:
    """Nix on a host of the lab, and a copy of the flake there."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.place = host.root / "var/lib/deploy-flake-source"
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        for name in ("flake.nix", "nix", "deploy_flake", "plugins", "pyproject.toml"):
            source = ROOT / name
            copy: Any = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, self.place / name)
        shutil.copytree(STAND_IN, self.place / "stand-in")

    def attempt(self, verb: str, more: str) -> subprocess.CompletedProcess[str]:
        inputs = "--no-write-lock-file --override-input nixpkgs path:/var/lib/deploy-flake-source/stand-in"
        return self.host.run(f"nix {verb} {inputs} path:/var/lib/deploy-flake-source{more}", env=_FEATURES)

    def run(self, verb: str, more: str) -> str:
        done = self.attempt(verb, more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, output: str, apply: str = "x: x") -> Any:
        return json.loads(self.run("eval --json", f"#{output} --apply '{apply}'"))

    def shell(self, *commands: str) -> Any:
        """What the last of these commands prints as JSON."""
        done = self.host.run("\n".join(("set -e", *commands)), env=_FEATURES)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def write(self, file: str, text: str) -> None:
        path: Path = self.place / file
        path.write_text(text, encoding="utf-8")
