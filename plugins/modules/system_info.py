#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_info
short_description: Tell what a NixOS host runs, what it boots, and how that came to be
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Reads which system runs, which one was booted and which one would boot, the generations, failed units, and the
    last deployments.
  - Changes nothing.
  - Without root all is told but the deployments.
options:
  deployments:
    description: How many of the last deployments to return.
    type: int
    default: 5
extends_documentation_fragment:
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Look at the host
  deploy_flake.nixos.system_info:
  become: true
  register: info

- name: Insist that nobody has to restart it
  ansible.builtin.assert:
    that: not info.reboot_needed
"""

RETURN = r"""
current_system:
  description: The system that runs.
  type: str
  returned: success
booted_system:
  description: The system that was booted.
  type: str
  returned: success
boot_default:
  description: The system that would boot; empty if there is no system profile.
  type: str
  returned: success
generation:
  description: The number of the generation that is the boot default.
  type: int
  returned: success
hostname:
  description: The name of the host.
  type: str
  returned: success
nixos_version:
  description: The NixOS version of the system that runs.
  type: str
  returned: success
configuration_revision:
  description: The revision that the system was built from, if it knows.
  type: str
  returned: success
health:
  description: What C(systemctl is-system-running) says.
  type: str
  returned: success
failed_units:
  description: The units that have failed.
  type: list
  elements: str
  returned: success
reboot_needed:
  description: Whether the running system has another kernel, initrd or kernel modules than were booted.
  type: bool
  returned: success
reboot_needed_for:
  description: Which of C(initrd), C(kernel) and C(kernel-modules) differ.
  type: list
  elements: str
  returned: success
generations:
  description: Every generation of the system profile, oldest first.
  type: list
  elements: dict
  returned: success
  contains:
    generation:
      description: Its number.
      type: int
    date:
      description: When it was made, ISO 8601 in UTC.
      type: str
    system:
      description: The system.
      type: str
deployments:
  description: The last deployments, oldest first, as the host has recorded them. Empty without root.
  type: list
  elements: dict
  returned: success
open_deployment:
  description: The deployment that is under way or was left unfinished; V(none) if there is none.
  type: dict
  returned: success
  contains:
    deployment:
      description: Its name.
      type: str
    state:
      description: Where it stands.
      type: str
    at_work:
      description: Whether its supervisor is at work. If not, the next deployment repairs it.
      type: bool
trial:
  description:
    - A system that is or was booted once with the module system_reboot, and was not kept; V(none) if there is none.
    - The next deployment or trial forgets it.
  type: dict
  returned: success
  contains:
    toplevel:
      description: The system.
      type: str
    at_work:
      description: Whether the trial is under way.
      type: bool
    outcome:
      description: What has become of it, in words; empty while it is under way.
      type: str
"""
