#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_rollback
short_description: Go back to an earlier system, tried live and confirmed like any other
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Tries an earlier generation live, under the supervisor that undoes it (M(deploy_flake.nixos.system_test)),
    confirms it over a fresh connection, and so makes it the boot default (M(deploy_flake.nixos.system_boot)). One task
    does it all.
  - Without O(generation) and O(toplevel) it goes to the highest generation below the boot default's that has another
    system. What runs at the moment does not count. As C(nixos-rebuild --rollback) it looks at the numbers of the
    generations alone.
  - The system becomes a new generation, the highest one, unless the highest one has that very system already; then that
    becomes the boot default again. No generation is deleted. So a second rollback without O(generation) leads
    to where the first one came from. To go further back, name the generation.
  - If the system fails, or nobody can confirm it, the host goes back to what it ran and booted before, and the task
    fails.
  - A host that runs the system already and would boot it is left alone.
options:
  generation:
    description:
      - The number of the generation to go to. Mutually exclusive with O(toplevel).
      - One that the host does not have is an error, which lists those that it has, with their dates. The same goes for
        a host without an earlier system. The host is left alone then.
    type: int
  toplevel:
    description: The store path of the system to go to; it has to be in the host's store. Mutually exclusive with
      O(generation).
    type: str
  health_policy:
    description:
      - Which state of the host is good enough, as for M(deploy_flake.nixos.system_test), but with another default.
      - Units that have failed may well be why somebody goes back, so V(no_new_failures) does not refuse for them, and
        does not undo the rollback if they go on failing.
      - V(strict) wants no failed unit before and after.
    type: str
    choices: [strict, no_new_failures]
    default: no_new_failures
extends_documentation_fragment:
  - deploy_flake.nixos.deployment
  - deploy_flake.nixos.limits
  - deploy_flake.nixos.record
  - deploy_flake.nixos.confirmation
  - deploy_flake.nixos.addresses
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description:
      - In check mode the host looks at itself and at the earlier system, says which one it is and what would happen, as
        M(deploy_flake.nixos.system_test) does, and starts nothing.
      - A system that would be refused fails the task, as it would without check mode.
    support: full
  diff_mode:
    description: Shows packages, sizes, kernel and units that change from the running system.
    support: full
notes:
  - The record on the host says C(generation <number>) where O(configuration) is not given.
  - With O(all_or_nothing) it needs O(confirm=false), since every host has to be ready before one commits.
seealso:
  - module: deploy_flake.nixos.system_info
  - module: deploy_flake.nixos.system_boot
"""

EXAMPLES = r"""
# ansible web1 -b -m deploy_flake.nixos.system_rollback
- name: Go back to the system before
  deploy_flake.nixos.system_rollback:
  become: true

- name: Go back to a generation, and look at it before it stays
  deploy_flake.nixos.system_rollback:
    generation: 41
    confirm: false
  become: true
  register: back

- name: Check it from outside
  deploy_flake.nixos.system_check:
    units: [nginx.service]
  when: back.state == 'window'

- name: Keep it
  deploy_flake.nixos.system_boot:
    toplevel: "{{ back.toplevel }}"
    deployment: "{{ back.deployment }}"
  become: true
  when: back.state == 'window'
"""

RETURN = r"""
toplevel:
  description: The system to go back to.
  type: str
  returned: once it has been found
generation_from:
  description: The number of the generation that was the boot default; null if it was none.
  type: int
  returned: once the system to go back to has been found
generation_to:
  description: The number of the generation that was gone back to; null if O(toplevel) was given. What it has become
    is in RV(generation).
  type: int
  returned: once the system to go back to has been found
specialisation:
  description: The specialisation of it that was to be activated; empty for the system itself.
  type: str
  returned: once the system to go back to has been found
deployment:
  description: The name of the deployment; empty if there was nothing to do.
  type: str
  returned: once the system to go back to has been found
state:
  description:
    - Where it stands. V(committed), V(unchanged), with O(confirm=false) V(window), the system runs and waits for
      confirmation, or in check mode V(would-rollback), V(would-boot) for a system that would become the boot default
      without a test, or V(would-refuse), which fails the task.
    - A rollback that ended otherwise fails the task; then this is C(refused), C(rolled-back), C(superseded),
      C(interrupted), C(rollback-failed) or C(commit-failed). C(rolled-back) says that the rollback itself was undone.
  type: str
  returned: once the system to go back to has been found
generation:
  description: The number of the generation that is the boot default.
  type: int
  returned: when the deployment has ended, or there was nothing to do
previous_system:
  description: The system that ran before.
  type: str
  returned: once the system to go back to has been found
previous_boot_default:
  description: The system that would have booted before.
  type: str
  returned: once the system to go back to has been found
system:
  description: The system that runs now. Of a specialisation it is the store path of its own.
  type: str
  returned: once the system to go back to has been found
boot_default:
  description: The system that would boot now.
  type: str
  returned: when the deployment has ended
reboot_required:
  description: Whether the host has to be rebooted before it runs all of the earlier system.
  type: bool
  returned: when the deployment has begun, and in check mode unless the host runs the system
would:
  description: What would happen to units. As RV(deploy_flake.nixos.system_test#module:would).
  type: dict
  returned: in check mode, unless the host runs the system
reboot_reasons:
  description: Why a reboot would be needed. As RV(deploy_flake.nixos.system_test#module:reboot_reasons).
  type: list
  elements: str
  returned: in check mode, unless the host runs the system
free_space:
  description: The room that there is. As RV(deploy_flake.nixos.system_test#module:free_space).
  type: dict
  returned: in check mode, unless the host runs the system
changes:
  description: What changes from the running system. As RV(deploy_flake.nixos.system_test#module:changes).
  type: dict
  returned: in diff mode, when something would change
diff:
  description: The same for people, in Ansible's own form.
  type: list
  elements: dict
  returned: in diff mode, when something would change
rebooted:
  description: Whether the host was rebooted into the system.
  type: bool
  returned: when it was
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
    C(no-generation).
  type: str
  returned: failure
"""
