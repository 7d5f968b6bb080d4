# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Room on a host's file systems, as room.sh tells it."""

from __future__ import annotations

from typing import Any

from .._host.answer import Answer


def room(answer: Answer) -> dict[str, dict[str, Any] | None]:
    """The file systems of /nix and of the boot loader, and how much room each has; None for one that there is not."""
    return {name: _room(answer, name) for name in ("nix", "boot")}


def _room(answer: Answer, name: str) -> dict[str, Any] | None:
    path, *kib = answer.get(f"room_{name}").split(" ")
    if not path or len(kib) != 2:
        return None
    return {"path": path, "free_bytes": int(kib[0]) * 1024, "total_bytes": int(kib[1]) * 1024}
