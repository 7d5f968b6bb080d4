#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_test
short_description: Try a NixOS system live, under a supervisor that undoes it
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Starts a supervisor on the host, which checks the system, activates it with C(switch-to-configuration test),
    watches it settle,
    and then waits for M(deploy_flake.nixos.system_boot) to confirm it.
  - Without confirmation in time the host goes back to its previous system by itself, whatever becomes of the
    controller.
  - The task ends when the system waits for confirmation, or when the test has been undone.
  - A host that runs the system already and would boot it is left alone.
options:
  toplevel:
    description: The store path of the system; it has to be in the host's store.
    type: str
    required: true
extends_documentation_fragment:
  - deploy_flake.nixos.deployment
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: In check mode the host looks at itself and at the new system, and starts nothing.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.flake_build
  - module: deploy_flake.nixos.system_boot
"""

EXAMPLES = r"""
- name: Try the system
  deploy_flake.nixos.system_test:
    toplevel: "{{ build.toplevel }}"
  become: true
  register: test

- name: Try it on a host where one unit is known to fail
  deploy_flake.nixos.system_test:
    toplevel: "{{ build.toplevel }}"
    ignore_units: [flaky.service]
    limits:
      confirm: 600
  become: true

- name: Try a specialisation of it
  deploy_flake.nixos.system_test:
    toplevel: "{{ build.toplevel }}"
    specialisation: no-gpu
  become: true
"""

RETURN = r"""
toplevel:
  description: The system that was to be tried.
  type: str
  returned: always
specialisation:
  description: The specialisation of it that was to be activated; empty for the system itself.
  type: str
  returned: always
deployment:
  description: The name of the deployment; empty if there was nothing to do.
  type: str
  returned: always, once the deployment has begun
state:
  description:
    - Where it stands. V(window), the system runs and waits for confirmation, V(unchanged) or, in check mode,
      V(would-test).
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
  description: The system that runs now. Of a specialisation it is the store path of its own.
  type: str
  returned: always, once the deployment has begun
boot_default:
  description: The system that would boot now.
  type: str
  returned: when the deployment has ended
reboot_required:
  description: Whether the host has to be rebooted before it runs all of the new system.
  type: bool
  returned: when the deployment has begun
decides_by:
  description: When the host will have gone back at the latest if nobody confirms, ISO 8601 in UTC.
  type: str
  returned: when it waits for confirmation
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
