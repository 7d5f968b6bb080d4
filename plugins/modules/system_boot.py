#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_boot
short_description: Confirm a tested system and make it the boot default
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Confirms a deployment that M(deploy_flake.nixos.system_test) has begun, over a fresh connection; that the host can
    be reached anew is
    part of what is confirmed. The host then makes the system its boot default.
  - If it can not be made so, the host goes back to what it ran and booted before, and the task fails.
  - Without O(deployment) it makes a system the boot default that was not tested and is not activated. It runs after
    the next reboot, with
    no promise that it works.
  - Of a specialisation, the system that it belongs to becomes the boot default.
options:
  toplevel:
    description: The store path of the system. A deployment that is about another one is not confirmed.
    type: str
    required: true
  deployment:
    description: The deployment to confirm, as RV(deploy_flake.nixos.system_test#module:deployment) returns it.
    type: str
  confirm_hosts:
    description:
      - Other addresses at which the host may answer after the test, for a system that changes it; tried in turn with
        the one that Ansible knows.
      - The host key must be the one that the host had at its old address.
    type: list
    elements: str
    default: []
  prepare:
    description:
      - Do not confirm yet, but look over a fresh connection whether the host could commit. Nobody else has switched
        it, and there is room for
        its kernel and initrd on the boot partition. The time in which it waits for confirmation is extended once by
        O(limits.confirm).
      - For a fleet that commits everywhere or nowhere; needs O(deployment).
    type: bool
    default: false
extends_documentation_fragment:
  - deploy_flake.nixos.deployment
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: In check mode nothing is confirmed and nothing is made the boot default.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.system_test
"""

EXAMPLES = r"""
- name: Keep the system
  deploy_flake.nixos.system_boot:
    toplevel: "{{ build.toplevel }}"
    deployment: "{{ test.deployment }}"
  become: true
  when: test.state == 'window'

- name: Boot another system next time, without trying it now
  deploy_flake.nixos.system_boot:
    toplevel: "{{ build.toplevel }}"
  become: true
"""

RETURN = r"""
deployment:
  description: The name of the deployment; empty if there was nothing to do.
  type: str
  returned: always, once the deployment has begun
state:
  description:
    - Where it stands. V(committed), V(prepared), V(unchanged) or, in check mode, V(would-boot).
    - A deployment that ended otherwise fails the task; then this is C(refused), C(rolled-back), C(superseded),
      C(interrupted),
      C(rollback-failed) or C(commit-failed).
  type: str
  returned: always, once the deployment has begun
generation:
  description: The number of the generation that is the boot default.
  type: int
  returned: when the deployment has ended, or there was nothing to do
previous_system:
  description: The system that ran before.
  type: str
  returned: always, once the deployment has begun
previous_boot_default:
  description: The system that would have booted before.
  type: str
  returned: always, once the deployment has begun
system:
  description: The system that runs now.
  type: str
  returned: when the deployment has ended
boot_default:
  description: The system that would boot now.
  type: str
  returned: when the deployment has ended
reboot_required:
  description: Whether the host has to be rebooted before it runs all of the new system.
  type: bool
  returned: when the deployment has begun
rebooted:
  description: Whether the host was rebooted into the new system.
  type: bool
  returned: when it was
failed_units:
  description: The units that had failed.
  type: list
  elements: str
  returned: when the deployment has ended
notes:
  description: What else the operator should know, such as an earlier deployment that had to be repaired first. Also
    given as warnings.
  type: list
  elements: str
  returned: when the deployment has ended
reason:
  description: One word for why the task failed before a deployment began, such as C(busy), C(other-hostname) or
    C(no-space).
  type: str
  returned: failure
"""
