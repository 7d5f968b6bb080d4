# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reason of a failure in full, from the task that failed to the one that ends the play for its host.

Ansible shows a task that fails at once, and the play goes on to roll back. So that the reason is in the last message,
and not twice, the first one is shown with its first line alone.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

from ansible import constants


def keep_for_the_end(host: str, result: dict[str, Any]) -> None:
    """Leave the first line in the result, and the rest for `in_full`."""
    text = str(result.get("msg") or "").strip()
    first, _newline, rest = text.partition("\n")
    first = first.rstrip()
    # Where it cannot be kept, it is told now.
    with contextlib.suppress(OSError):
        if rest:
            _file(host, first).write_text(text, encoding="utf-8", errors="surrogateescape")
            result["msg"] = first


def in_full(host: str, said: str) -> str:
    """The message that began with this line, if it was kept."""
    with contextlib.suppress(OSError):
        return _file(host, said).read_text(encoding="utf-8", errors="surrogateescape")
    return said


def _file(host: str, first: str) -> Path:
    name = hashlib.sha256(f"{host} {first}".encode(errors="surrogateescape")).hexdigest()[:32]
    # Of this run of Ansible alone: it goes when Ansible ends.
    return Path(constants.DEFAULT_LOCAL_TMP, f"deploy-flake-reason-{name}")  # type: ignore[attr-defined]
