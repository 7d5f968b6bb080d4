#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_status
short_description: Show one table of what was found on many hosts
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Shows what M(deploy_flake.nixos.system_info) has found, a line for each host, and below it what is unusual.
  - Works on the controller alone. Meant to be run once for a play (C(run_once)).
options:
  hosts:
    description:
      - What M(deploy_flake.nixos.system_info) has returned (C(register)), by the names of the hosts.
      - A host that failed or could not be reached (C(ignore_unreachable)) is shown as such.
    type: dict
    required: true
  show:
    description: Whether to print the table, beside returning it.
    type: bool
    default: true
extends_documentation_fragment: [deploy_flake.nixos.controller]
seealso:
  - module: deploy_flake.nixos.system_info
"""

EXAMPLES = r"""
- name: Look at the hosts
  deploy_flake.nixos.system_info:
    flake: .
  become: true
  ignore_errors: true
  ignore_unreachable: true
  register: found

- name: Show a table
  deploy_flake.nixos.fleet_status:
    hosts: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'found'))) }}"
  run_once: true
"""

RETURN = r"""
rows:
  description: The table.
  type: list
  elements: dict
  returned: success
  contains:
    host:
      description: The name of the host.
      type: str
    system:
      description: The system that runs, by the beginning of its hash and its name.
      type: str
    revision:
      description: The beginning of the revision that it was built from.
      type: str
    age:
      description: For how long it has been a generation.
      type: str
    drift:
      description: How it stands to the flake.
      type: str
    reboot:
      description: What a reboot is needed for.
      type: str
    health:
      description:
        - What C(systemctl is-system-running) says, and how many units have failed.
        - V(unreachable) or V(failed) for a host of which nothing is known.
      type: str
    deployment:
      description: Where a deployment stands that has not ended.
      type: str
remarks:
  description: What is unusual about each host, in words. Hosts with nothing unusual are left out.
  type: dict
  returned: success
silent:
  description: The hosts of which nothing is known, since they failed or could not be reached.
  type: list
  elements: str
  returned: success
"""
