# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's local connection to a host of the lab, which has no Python: its shell starts in that host."""

from __future__ import annotations

from pathlib import Path

from lab.host import PATH


def write_shell(file: Path, process: int, namespaces: str) -> Path:
    """Write a program that is /bin/sh in those namespaces of a process, as root, with nothing of this environment."""
    clean = f"/usr/bin/env -i PATH={PATH} HOME=/root USER=root LANG=C.UTF-8"
    file.write_text(f'#!/bin/sh\nexec nsenter --target={process} {namespaces} -- {clean} /bin/sh "$@"\n')
    file.chmod(0o755)
    return file
