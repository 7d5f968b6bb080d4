#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flake_install
short_description: Install NixOS from a flake on a machine that has booted an installer
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - B(Erases the disks that it is given.) The machine has booted any NixOS installer, or another system with Nix and
    systemd, and answers over ssh.
  - Evaluates the host's configuration, which has to have disko, and looks whether its disks may be erased. Then it
    builds the system and the disko script as M(deploy_flake.nixos.flake_build) builds, on the machine or on others.
    Only when all is there does the machine run the script, in a systemd unit, and C(nixos-install) after it.
  - A lost connection and a killed controller end nothing. Run it again and it follows what goes on, or reboots a
    machine that is ready; after a failure it begins anew. A machine that runs the system already is left alone.
  - It reboots then, and waits until the host is up with the very system and a host key that was known before.
  - What may be erased, what is refused and what to do after each failure is in C(docs/install.md).
options:
  flake:
    description: The flake, as M(deploy_flake.nixos.flake_copy) takes it; a local one is copied first.
    type: str
    required: true
  build_timeout:
    description: How many seconds each build may take. It is ended after that, and the task fails.
    type: int
    default: 7200
  reboot:
    description: Whether to reboot into the new system at the end, and to wait for it.
    type: bool
    default: true
  allow:
    description:
      - What to allow that is refused otherwise, before anything is erased. V(secrets_in_flake) and V(little_space) are
        those of M(deploy_flake.nixos.flake_build).
      - V(data_on_disks), disks that are not empty. What an installation has left there since the machine's boot needs
        no word, unless it was done, be it mounted still or not.
      - V(installed_system), a machine whose running system is still there after a boot, as a rescue system on a disk of
        its own. The disk that it runs from is refused in any case.
      - V(several_hosts), a play for more than one host. A variable that was meant for one of them would name the disks
        of all.
    type: list
    elements: str
    choices: [secrets_in_flake, little_space, data_on_disks, installed_system, several_hosts]
    default: []
extends_documentation_fragment:
  - deploy_flake.nixos.install
  - deploy_flake.nixos.build
  - deploy_flake.nixos.closure
  - deploy_flake.nixos.copy
  - deploy_flake.nixos.free_space
  - deploy_flake.nixos.host
  - deploy_flake.nixos.absent
attributes:
  check_mode:
    description: Builds, and says which disks would be erased. What would be refused fails. Nothing is erased.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.flake_build
  - module: deploy_flake.nixos.flake_deploy
"""

EXAMPLES = r"""
- name: Install a machine that has booted an installer
  deploy_flake.nixos.flake_install:
    flake: .
    disks: [/dev/disk/by-id/nvme-eui.0025385b71b0a1c2]
    installer_user: root
    host_keys:
      - content: "{{ lookup('community.general.passwordstore', 'hosts/web1/ssh_host_ed25519_key returnall=true') }}"
  become: true
  register: installed

- name: Say what has to be in known_hosts
  ansible.builtin.debug:
    msg: "{{ installed.known_hosts }}"
"""

RETURN = r"""
state:
  description: V(installed); V(unchanged), the host runs the system already; in check mode V(would-install).
  type: str
  returned: success
disks:
  description: The disks that were erased, as the flake names them; in check mode those that would be.
  type: list
  elements: str
  returned: success
erased:
  description: Whether disks were erased, or may have been.
  type: bool
  returned: when the installation has begun and failed, or an earlier one since the machine's boot has erased some
rebooted:
  description: Whether the host has been rebooted by this task.
  type: bool
  returned: success
known_hosts:
  description: The lines for C(known_hosts), by which ssh knows the new host.
  type: list
  elements: str
  returned: success, and when anything has failed after the installation
ssh_args:
  description:
    - Arguments for ssh (C(ansible_ssh_args)) with which it takes only a host for the new one that has one of the keys.
      They hold until Ansible ends.
    - Empty where it was not rebooted, or another connection plugin than C(ssh) is used.
  type: str
  returned: success
reason:
  description: One word for why the task failed, such as C(no-disko), C(disk-not-named), C(disk-in-use),
    C(has-data), C(installed-system), C(not-partitioned), C(not-installed), C(other-host-key) or C(not-back).
  type: str
  returned: failure
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
toplevel:
  description: The store path of the system that was installed.
  type: str
  returned: success
absent:
  description: V(true). Nobody has answered there, and nothing was done. Also returned where that makes the host
    unreachable.
  type: bool
  returned: when the host did not answer at the beginning
# Until here.
"""
