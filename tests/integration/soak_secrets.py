# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that a seed's deploys bring: each says with which version it came."""

from __future__ import annotations

import contextlib
import re
import subprocess
from typing import Any

from integration.faulting import inside

from lab import Host
from lab.shell import LabError

# The last one goes with a boot.
PATHS = ("/etc/soak/one", "/etc/soak/two", "/run/soak/three")


def given(version: str) -> dict[str, Any]:
    """The variables of a deploy that brings them."""
    names = (path.rpartition("/")[2] for path in PATHS)
    return {
        "deploy_flake_secrets": [
            {"name": name, "path": path, "content": version} for name, path in zip(names, PATHS, strict=True)
        ]
    }


def there(host: Host) -> list[str]:
    """What is in each of them; nothing where it is not there."""
    return [file.read_text() if (file := inside(host, path)).exists() else "" for path in PATHS]


def wrong(before: list[str], now: list[str], versions: set[str], rebooted: bool) -> list[str]:
    """What must not be: where they have to be of one of these versions, `` for what was there before."""
    if rebooted:
        # It may also be before the boot that was looked at.
        before, now = before[:2], now[:2]
    allowed = [before if not version else [version] * len(now) for version in sorted(versions)]
    return [] if now in allowed else [f"its secrets are {now}, which have to be {allowed}"]


def let_go(host: Host) -> None:
    """What systemd does in ten minutes with those that nobody comes for."""
    script = """
    for timer in $(systemctl list-units --plain --no-legend 'deploy-flake-secrets-drop-*.timer' | cut -d ' ' -f 1); do
        systemctl start "${timer%.timer}.service"
        systemctl stop "$timer"
    done
    """
    with contextlib.suppress(LabError, subprocess.TimeoutExpired):
        host.run(["/usr/bin/bash", "-c", script], timeout=30, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def may_stay(line: str) -> bool:
    """Of a change that a power loss has interrupted, and that the next deploy ends."""
    return bool(re.fullmatch(r"secrets\.(open|over)(\.new)?", line))
