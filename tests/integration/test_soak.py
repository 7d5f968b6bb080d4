# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some seeds of the randomised test; `make soak` runs as many as you like."""

from __future__ import annotations

from pathlib import Path

from integration.soaking import Soak

from lab import Host, Lab

# Three for each host: quick, and as different as any. Output without end, what local-fs.target requires, /run without
# room, rescue mode, a reboot, a soft-reboot, others who upgrade or revoke, kills, a wrapped system, a firewall that is
# reloaded, the command. Each of these has tests of its own as well; here they meet each other.
SEEDS = (58, 79, 88, 5, 95, 281, 102, 252, 294)


def test_random_faults(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    assert len(whole) == 3
    said: list[str] = []
    soak = Soak(lab, tmp_path, said.append)
    soak.run(SEEDS)
    # Other tests' hosts have the boot loader that the lab gives them, and nothing of a controller that was killed.
    lab.reset(whole.values())
    ended = soak.figures.ended
    assert ended["lost"] == 0, "\n".join(said)
    assert ended.total() == len(SEEDS)
