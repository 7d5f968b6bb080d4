# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documentation of modules that talk to no host has in common."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.controller`."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action:
    description: The module runs on the controller.
    support: full
  check_mode:
    description: Changes nothing in either mode.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
  platform:
    description: What the host must be; it is not looked at.
    support: full
    platforms: nixos
"""
