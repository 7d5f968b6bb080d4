# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that has several names in the inventory: which of them a deployment that is in its way was begun for.

Each would wait for the other: a strategy that keeps step begins no later task, which would confirm the first
deployment, before the task of the second one has ended.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OtherNames:
    """What the processes of all hosts of a run know of each other's deployments that a later task is to confirm."""

    directory: Path | None = None
    """Ansible's own for temporary files, which nobody but this run reads or writes; None where there is none."""

    def note(self, deployment: str, name: str) -> None:
        """A deployment is begun for a host of the inventory, and a later task is to confirm it."""
        # Without it, this one is waited for.
        with contextlib.suppress(OSError):
            if file := self._file(deployment):
                file.write_text(name, encoding="utf-8", errors="surrogateescape")

    def of(self, deployment: str) -> str:
        """For which host of the inventory this run has begun it; "" where it has not."""
        with contextlib.suppress(OSError):
            if file := self._file(deployment):
                return file.read_text(encoding="utf-8", errors="surrogateescape")
        return ""

    def _file(self, deployment: str) -> Path | None:
        # A host may have written anything there.
        key = hashlib.sha256(deployment.encode(errors="surrogateescape")).hexdigest()[:32]
        return self.directory and self.directory / f"deploy-flake-begun-{key}"
