# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's ssh keys. They are kept, so that a host has the same key after a reset."""

from __future__ import annotations

from pathlib import Path

from lab.shell import sh
from lab.state import State


def login_key(state: State) -> Path:
    """The private key that opens root and deploy on every host."""
    return _key(state, "login")


def host_key(state: State, host: str) -> Path:
    return _key(state, host)


def public(key: Path) -> str:
    kind, blob, *_comment = key.with_name(f"{key.name}.pub").read_text().split()
    return f"{kind} {blob}"


def _key(state: State, name: str) -> Path:
    path = state.keys / name
    if not path.with_name(f"{name}.pub").is_file():
        state.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab-{name}", "-f", path)
    return path
