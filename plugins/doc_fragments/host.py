# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules' documentation has in common."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.host`."""

    DOCUMENTATION = r"""
options:
  reconnect_timeout:
    description:
      - For how many seconds the task tries to reconnect when the host stops answering.
      - After that the task fails; the work on the host continues without it.
    type: int
    default: 300
  addresses:
    description:
      - Other addresses of the host, which are tried in this order where it does not answer at the one that Ansible
        knows, before anything was begun there. What answers is its address until Ansible ends. Only with the
        connection plugin C(ssh).
      - The host key must be the one that is known for the address that Ansible knows.
      - A host that is lost later on is waited for at the address at which it was found, so a system that takes that
        away is rolled back.
    type: list
    elements: str
    default: []
requirements:
  - On the host a POSIX shell with coreutils, Nix and systemd, as every NixOS has them. Python is not needed.
  - Root on the host, so C(become) or a login as root.
attributes:
  action:
    description: The module runs on the controller and sends short shell scripts to the host.
    support: full
  platform:
    description: What the host must be.
    support: full
    platforms: nixos
"""
