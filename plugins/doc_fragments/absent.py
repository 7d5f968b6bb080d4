# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option of modules that begin something on a host, and may find nobody there."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.absent`."""

    DOCUMENTATION = r"""
options:
  allow_unreachable:
    description:
      - Whether a host that does not answer is left out, with a warning, where it would be unreachable otherwise. The
        task succeeds there and returns C(absent); nothing was done.
      - That is for the first contact in a run of Ansible, with the host that the task is for. A host that is lost later
        on has failed, or is unreachable, whatever this says. Unreachable is also one that refuses the login, whose host
        key has changed, whose name nobody knows, or where a command did not end in time.
      - Where no host of the play answers, or with C(serial) none of a batch, one at least is unreachable all the same.
        Where every batch is one host, that is for the whole play.
    type: bool
    default: false
"""
