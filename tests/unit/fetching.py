# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of a remote flake have in common: a source, and what Nix says of it."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.nar import directory_tree
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.snapshot import take_snapshot

URL = "https://example.org/flake.tar.gz"
PATH = f"/nix/store/{'4' * 32}-source"


class Source:
    """A flake that lies elsewhere."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "flake.nix").write_text("{ }")
        with take_snapshot(directory_tree(directory), directory) as snapshot:
            self.nar = snapshot.nar.read()
            self.nar_hash = snapshot.nar_hash
            self.store_path = snapshot.store_path

    def metadata(self, **locked: Any) -> str:
        """What `nix flake metadata --json` says of it."""
        known = {"type": "tarball", "narHash": self.nar_hash, "lastModified": 7, **locked}
        return json.dumps({"url": URL, "path": PATH, "locked": known, "resolved": {}})

    def answers(self, **locked: Any) -> list[dict[str, str]]:
        """The answers of a host that resolves it and hands it out."""
        return [{"status": "0", "value": self.metadata(**locked)}, part(gzip.compress(self.nar))]


def part(data: bytes, packed: str = "gzip") -> dict[str, str]:
    """The answer of read_source."""
    return {"packed": packed, "part": base64.b64encode(data).decode()}
