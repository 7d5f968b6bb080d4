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
