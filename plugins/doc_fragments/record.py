# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options about where a system came from."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.record`."""

    DOCUMENTATION = r"""
options:
  flake:
    description: The flake reference as you wrote it, for the record on the host. Nothing else is done with it.
    type: str
  revision:
    description: The revision of the flake, for the record on the host.
    type: str
  configuration:
    description: The name of the configuration, for the record on the host.
    type: str
  nar_hash:
    description:
      - The hash of the flake's content, for the record on the host.
      - M(deploy_flake.nixos.system_info) later tells by it whether the host runs what the flake says.
    type: str
  dirty:
    description: Whether the flake had changes that were not committed to git, for the record on the host.
    type: bool
    default: false
  dirty_revision:
    description: The commit that these changes were made to, with C(-dirty) behind it, for the record on the host.
    type: str
"""
