# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option about where a host may answer."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.addresses`."""

    DOCUMENTATION = r"""
options:
  confirm_hosts:
    description:
      - Other addresses at which the host may answer after the test, for a system that changes it; tried in turn with
        the one that Ansible knows. Only with the connection plugin C(ssh).
      - The host key must be the one that the host had at its old address.
    type: list
    elements: str
    default: []
"""
