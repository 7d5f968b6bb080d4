# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Becomes root by one command that sudo allows. See the documentation below, and docs/become.md."""

from __future__ import annotations

DOCUMENTATION = r"""
name: helper
short_description: Have a root-owned helper on the host do what the collection's actions ask for
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Starts C(deploy-flake-host) by sudo, without arguments, and as root. The actions of this collection then send it
    data in place of scripts, so that the rule of sudo for the login user needs to allow that one command alone.
  - C(deploy-flake.user.helper) of the NixOS module installs it, and makes that rule.
  - Any other task that becomes root in this way fails before the host is asked. C(become_user) and the environment of
    a task mean nothing here.
  - Whoever may deploy any system is root all the same. docs/become.md of the collection says what this is worth.
options:
  helper:
    description: The path of the helper on the host, as the rule of sudo has it.
    type: str
    default: /run/current-system/sw/bin/deploy-flake-host
    vars:
      - name: ansible_deploy_flake_helper
  become_exe:
    description: The sudo of the host.
    type: str
    default: sudo
    vars:
      - name: ansible_become_exe
    keyword:
      - name: become_exe
  become_pass:
    description: The password of the login user, where sudo asks for one.
    type: str
    vars:
      - name: ansible_become_password
      - name: ansible_become_pass
"""

import shlex
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.become import BecomeBase

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import helper


class BecomeModule(BecomeBase):
    """The plugin, as Ansible looks for it."""

    name = helper.METHOD
    fail = ("Sorry, try again.",)
    missing = ("Sorry, a password is required to run sudo", "sudo: a password is required")

    def build_become_command(self, cmd: str, shell: Any) -> str:
        """The command line that starts the helper, where an action of the collection asks for it."""
        super().build_become_command(cmd, shell)  # type: ignore[no-untyped-call]
        if not cmd:
            return cmd
        if cmd != helper.COMMAND:
            raise AnsibleError(
                f"the become method {self.name} starts {helper.NAME} for the modules of deploy_flake.nixos alone, and"
                " nothing was run on the host: give this task another method (become_method), or none (become: false)"
            )
        # It is the helper that says it, and no shell around it.
        self.success = helper.BEGUN
        flags = ["-n"]
        exe, path, password = (str(self.get_option(name) or "") for name in ("become_exe", "helper", "become_pass"))  # type: ignore[no-untyped-call]
        if password:
            self.prompt = f"[{helper.NAME} via ansible, key={self._id}] password:"
            flags = ["-S", "-p", self.prompt]
        return shlex.join([exe, *flags, "-u", "root", path])
