# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m deploy_flake`."""

from __future__ import annotations

import sys

from deploy_flake.cli import main

if __name__ == "__main__":
    sys.exit(main())
