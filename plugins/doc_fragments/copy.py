# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of what brings a flake to a host, for the modules that copy or build."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.copy`."""

    DOCUMENTATION = r"""
options:
  copy_inputs:
    description:
      - Which inputs of the flake the controller fetches for a host that lacks them. It fetches each once for all hosts,
        as whoever runs Ansible (with their keys, ssh agent and git configuration, C(.netrc), and the C(access-tokens)
        and C(netrc-file) of the controller's C(nix.conf) and of C(nix_config), where there is that option), compares it
        with the lock file and sends it. It needs no Nix for that, and a host that has an input is not sent it again.
      - V(missing), those that one has to log in for, which are those over ssh, those that there is a login for, and
        those that there is a token of their own for, of their owner, or of a forge other than C(github.com),
        C(gitlab.com) and C(git.sr.ht). All others go once the host could not fetch one for a build by itself, those
        first that any token is good for. What the controller cannot fetch either, or cannot send within
        O(copy_timeout), is left to the host.
      - V(all), every one, so that the host need not reach anything but the controller. One that the controller cannot
        fetch is an error. For hosts without internet, which would otherwise wait for every server first.
      - V(none), those alone that lie on the controller.
      - The types C(git), C(github), C(gitlab), C(sourcehut), C(tarball) and C(file), submodules included.
      - Every user of the host can read what is in its store, as they can where the host itself fetches it.
    type: str
    choices: [missing, all, none]
    default: missing
  copy_timeout:
    description:
      - How many seconds one attempt to send the snapshot of O(flake) may take, or an input of it; and how many the
        controller may take to fetch one.
    type: int
    default: 600
"""
