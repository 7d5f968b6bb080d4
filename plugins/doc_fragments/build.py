# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a build, for the modules that build."""

from __future__ import annotations

NO_LOG = ("nix_config",)
"""What no log may have; documentation has no field for that."""


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.build`."""

    DOCUMENTATION = r"""
options:
  configuration:
    description:
      - The name in C(nixosConfigurations); not used with O(toplevel). The host's C(inventory_hostname) if not given.
        With C(delegate_to) that is the host which the task is for, and not the one that builds.
      - A name that the flake does not have is an error, which lists those that it has.
    type: str
  build_args:
    description:
      - Further arguments for C(nix build), each an item of its own. Every user of the host can read them.
      - The lock file of the flake has to name every input, as C(flake.nix) has it now; otherwise nothing is built, and
        the error names the inputs. C(nix flake lock) mends that. With C(--override-input), C(--recreate-lock-file) or
        C(--no-write-lock-file) here, each host resolves by itself what is missing, perhaps to different things.
      - No snapshot in a host's store is ever written to.
    type: list
    elements: str
    default: []
  nix_config:
    description:
      - Lines in the form of C(nix.conf) for this build alone, such as C(access-tokens) to fetch private inputs, or
        C(substituters) with C(trusted-public-keys). The latter two need a login user among the host's C(trusted-users)
        unless O(toplevel) is given.
      - They go to the host on standard input and to Nix as a credential of the unit, so they appear in no log,
        process list or unit property.
    type: str
    default: ""
  on_older:
    description:
      - What to do where the host would go backwards, to a revision of the flake that is an ancestor of the one that the
        host last committed, that has diverged from it, or whose repository does not have that one, as a stale checkout.
      - V(warn) says so. V(refuse) fails after the build, before anything of the host's system is changed. V(allow) does
        not look.
      - For a flake in a git repository. Of a tree with changes the commit counts that is checked out. Of a remote flake
        the controller's git has the commits where it has fetched the flake. Where Nix has, V(refuse) has git fetch them
        once a run if the host last committed another revision, and fails where it cannot or where the flake has no
        revision; V(warn) says nothing then.
        What the host last committed is what its boot default was made from, as the record of its deployment or the
        system itself says. In a shallow clone git cannot always tell, and then nothing is said.
    type: str
    choices: [warn, refuse, allow]
    default: warn
  check_builds:
    description:
      - Whether to build in check mode as well. V(false) only evaluates the configuration on the host, which takes less
        time and space; then it is known which system it would be, and not what it would do.
      - Nothing is kept from garbage collection then. C(nix eval) has to understand O(build_args) too.
      - Does nothing without check mode.
    type: bool
    default: true
"""
