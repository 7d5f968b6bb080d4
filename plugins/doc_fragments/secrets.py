# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options about secrets, for the modules that put them in place."""

from __future__ import annotations

NO_LOG = ("secrets",)
"""What no log may have; documentation has no field for that."""


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.secrets`."""

    DOCUMENTATION = r"""
options:
  secrets:
    description:
      - Secrets that are put in place on the host, each as a file. They reach it on standard input alone, wait in a
        directory of root's on a tmpfs, and take their places by renames inside the activation, before units start.
      - What is there already, with the same bytes, owner, group and mode, is not touched, and restarts nothing.
      - Where the deployment is undone, the old ones are put back.
      - 'All of it: C(docs/secrets.md).'
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: A name for messages, results and the host's list of what was placed. The same secret has the same
          name each time.
        type: str
        required: true
      content:
        description:
          - The content, such as what a lookup returns; text of at most 1 MiB, all secrets together 4 MiB.
          - One of O(secrets[].content) and O(secrets[].command) is needed.
        type: raw
      command:
        description:
          - A command on the controller, as a list of words, whose output is the content, byte by byte. No shell is
            involved, and nothing can be asked for. It may take two minutes.
          - It runs for each host before that is touched, in check mode as well.
        type: list
        elements: str
      path:
        description:
          - Where it is to be on the host. Directories that are missing are made, for everybody to pass.
          - Only root may be able to write in the directories above it, and none of them may be a link.
          - What is below C(/run) is gone after a reboot. With C(deploy-flake.secrets.enable) of this flake's NixOS
            module it is put there again, from a copy that root alone can read. Without it there is a warning, and no
            copy.
        type: str
        required: true
      owner:
        description: The user who owns it, by name or number. It has to be there before the deployment.
        type: str
        default: root
      group:
        description: Its group, by name or number.
        type: str
        default: root
      mode:
        description: Its mode as three octal digits, in quotes.
        type: raw
        default: "0400"
      restart_units:
        description:
          - Units to restart when the secret has changed, after the activation; those that it has started itself since
            then are not restarted again, and what does not run is left alone. All are asked at once, and have 100 s.
          - One that had failed before is started, and does not hinder the deployment (O(health_policy)).
          - One that cannot be restarted, or that the host does not have, undoes the deployment.
        type: list
        elements: str
        default: []
      reload_units:
        description: Units to reload when the secret has changed, likewise.
        type: list
        elements: str
        default: []
  remove_other_secrets:
    description: Whether to remove from the host what was placed there by an earlier task and is not in O(secrets) any
      more. A secret that has another path now is removed from the old one in any case.
    type: bool
    default: false
"""
