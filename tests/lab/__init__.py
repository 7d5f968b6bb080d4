# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are real where it matters, on one machine, in seconds.

With `tests` on the path: `from lab import Lab`, then `lab = Lab()`, `lab.up(3)`, `lab.hosts["host1"].run("uptime")`.
"""

from __future__ import annotations

from lab.fleet import Lab
from lab.host import Host
from lab.machine import Machine
from lab.shell import LabError

__all__ = ["Host", "Lab", "LabError", "Machine"]
