# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of a removal."""

from __future__ import annotations

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._removal import outcome


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("deleting '/nix/store/a'\n12 store paths deleted, 3.50 MiB freed\n", (12, 3670016)),
        ("1 store path deleted, 1.0 KiB freed", (1, 1024)),
        ("0 store paths deleted, 0.00 MiB freed", (0, 0)),
        ("7 store paths deleted, 2 GiB freed", (7, 2 << 30)),
        ("error: interrupted", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_what_the_garbage_collector_says(log: str, found: tuple[int, int]) -> None:
    assert outcome.freed(log) == found
