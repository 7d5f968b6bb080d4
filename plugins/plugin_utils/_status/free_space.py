# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Free space on a host's file systems, as free_space.sh tells it."""

from __future__ import annotations

from typing import Any

from .._host.answer import Answer


def free_space(answer: Answer) -> dict[str, dict[str, Any] | None]:
    """The file systems of /nix and of the boot loader, and how much of each is free; None for one that there is not."""
    return {name: _of(answer.get(f"free_space_{name}")) for name in ("nix", "boot")}


def _of(text: str) -> dict[str, Any] | None:
    path, *kib = text.split(" ")
    if not path or len(kib) != 2:
        return None
    return {"path": path, "free_bytes": int(kib[0]) * 1024, "total_bytes": int(kib[1]) * 1024}
