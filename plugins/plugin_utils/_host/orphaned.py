# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether anybody is left to work for: where ansible-playbook is killed, its workers live on."""

from __future__ import annotations

import multiprocessing
import os


def is_orphaned() -> bool:
    """Whether the process that has started this worker is gone. Nobody hears what comes of it then, nor can end it."""
    parent = multiprocessing.parent_process()
    return parent is not None and os.getppid() != parent.pid
