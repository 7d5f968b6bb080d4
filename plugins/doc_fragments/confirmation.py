# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option of a task that tests and confirms."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.confirmation`."""

    DOCUMENTATION = r"""
options:
  confirm:
    description:
      - Whether the task itself confirms the system after the test, over a fresh connection.
      - V(false) leaves it waiting for M(deploy_flake.nixos.system_boot), so that other tasks can check it before;
        without confirmation in time the host rolls back by itself.
    type: bool
    default: true
"""
