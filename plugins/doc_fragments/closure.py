# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a closure's way from one host to others, for the modules that copy one."""

from __future__ import annotations

PUBLIC = ("sign_key",)
"""What is no secret, whatever its name sounds like."""


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.closure`."""

    DOCUMENTATION = r"""
options:
  substitute:
    description:
      - Whether a host that gets a closure from another one first fetches what it lacks from its own substituters, as
        far as they have it. The rest is sent.
      - For hosts that reach a binary cache faster than the controller. One that reaches none waits for Nix's own time
        limits.
    type: bool
    default: false
  fetch_timeout:
    description: How many seconds its own substituters may take, with O(substitute). After that what is still lacking is
      sent.
    type: int
    default: 7200
  compress:
    description:
      - Whether what is sent is packed by C(gzip), by the host that has it. That takes time of its processor, and of
        most systems a third to a half of the bytes are left.
      - V(false) for fast networks.
    type: bool
    default: true
  sign_key:
    description:
      - A file on the host that has the closure, with a secret key as C(nix key generate-secret) makes it. All of the
        closure is signed with it before it is copied, in that host's store. Root has to be able to read it.
      - Signatures go to the others with O(check_signatures) alone.
    type: str
  check_signatures:
    description:
      - Whether a host whose C(require-sigs) is set, as it is by default, takes from the other one only what a key of
        its C(trusted-public-keys) has signed, as it would from a binary cache. Its configuration says which keys these
        are.
      - A path that none has signed fails before anything is sent to that host. The controller compares what comes
        with what was signed, piece by piece, and sends nothing on that differs. What a path's own name proves needs
        no signature, such as the source of a flake; for a single file under a fixed hash that does not hold.
      - With V(false) everything is taken from whoever is root on the other host, as C(nix-copy-closure) does as root.
    type: bool
    default: false
"""
