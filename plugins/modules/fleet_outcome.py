#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_outcome
short_description: End a failed deployment with its reason and what has become of the host
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Always fails. It is the last task of a C(rescue), when the host was told to roll back, so that the host counts as
    failed.
  - Tells apart whether the host itself has failed, or another one of a fleet that commits everywhere or nowhere.
  - Works on the controller alone.
options:
  failure:
    description: The result of the task that failed on this host (C(ansible_failed_result)); empty if none did.
    type: dict
    default: {}
  all_or_nothing:
    description: Whether the host is one of a fleet that commits everywhere or nowhere, which another host's failure
      ends too.
    type: bool
    default: true
  committed:
    description: Whether the host has committed its new system all the same.
    type: bool
    default: false
  activated:
    description: Whether anything was activated, or may have been. If not, the message says so.
    type: bool
    default: true
  until_reboot:
    description: Whether the host has confirmed its new system all the same, to run it until the next reboot.
    type: bool
    default: false
  rolled_back_to:
    description: The system to which the host was told to roll back, and which it runs now.
    type: str
  undecided:
    description:
      - The last result that tells of a deployment which is in progress on the host, or may be, as of
        M(deploy_flake.nixos.system_test); its C(deployment) and C(decides_by) are what counts.
      - Empty, or not given, for a host that has ended.
    type: dict
    default: {}
extends_documentation_fragment: [deploy_flake.nixos.controller]
seealso:
  - module: deploy_flake.nixos.system_revoke
"""

EXAMPLES = r"""
- name: Deploy everywhere or nowhere
  any_errors_fatal: true
  become: true
  block:
    - name: Test the system
      deploy_flake.nixos.system_test:
        toplevel: "{{ build.toplevel }}"
        all_or_nothing: true
      register: test
  rescue:
    - name: Roll back
      deploy_flake.nixos.system_revoke:
        deployment: "{{ test.deployment }}"
      when: test.state | default('') in ['window', 'unknown']
      register: revoked
      ignore_errors: true
    - name: Fail with the reason
      deploy_flake.nixos.fleet_outcome:
        failure: "{{ ansible_failed_result | default({}) }}"
        undecided: "{{ test if revoked.state | default('unknown') == 'unknown' else {} }}"
"""

RETURN = r"""
reason:
  description: The O(failure)'s own, if it has one; or V(another-host-failed) where nothing failed on this host.
  type: str
  returned: where O(failure) has one or is empty
state:
  description: C(unknown), for what becomes of the host.
  type: str
  returned: where O(undecided) names a deployment
deployment:
  description: The name of the deployment that may be in progress on the host.
  type: str
  returned: where O(undecided) names a deployment
decides_by:
  description: When the host will have finished or undone it by itself at the latest, ISO 8601 in UTC.
  type: str
  returned: where O(undecided) says so
"""
