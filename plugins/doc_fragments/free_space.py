# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option about free space, for the modules that need some."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.free_space`."""

    DOCUMENTATION = r"""
options:
  min_free_space:
    description:
      - How much free space there must be before a build or a deployment begins, in MiB. The host refuses otherwise.
      - Before a build only C(/nix) is looked at, since it is not known yet what the system needs on C(/boot). Where
        there is less, nothing is built or substituted; what is built already is found all the same, so a host that runs
        the system is no failure. To find it the host still gets the source of the flake and the inputs that it lacks,
        each of them only where there is room for it twice, and Nix may fetch others.
    type: dict
    default: {}
    suboptions:
      nix:
        description: MiB on the file system of C(/nix).
        type: int
        default: 32
      boot:
        description:
          - MiB on the file system of C(/boot).
          - If not given, what those kernels and initrds of the new system need that are not there yet.
          - V(0) for no check. The commit itself finds out whether they fit, and rolls back if not.
          - M(deploy_flake.nixos.system_generations) frees space.
        type: int
"""
