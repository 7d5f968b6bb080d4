#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_revoke
short_description: Tell a host that waits for confirmation to roll back now
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Revokes a deployment that M(deploy_flake.nixos.system_test) has begun, so that the host does not wait for its time
    limit, and waits until it has rolled back.
  - A deployment that is committed already stays so; to undo that, use M(deploy_flake.nixos.system_rollback). One that
    is being committed continues.
options:
  deployment:
    description: The deployment, as RV(deploy_flake.nixos.system_test#module:deployment) returns it.
    type: str
    required: true
  reason:
    description: Why, for the record on the host.
    type: str
    default: by the operator
extends_documentation_fragment:
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: In check mode nothing is revoked.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.system_test
"""

EXAMPLES = r"""
- name: Roll back now
  deploy_flake.nixos.system_revoke:
    deployment: "{{ test.deployment }}"
    reason: The site does not answer
  become: true
"""

RETURN = r"""
revoked:
  description: Whether this task revoked it.
  type: bool
  returned: success
state:
  description:
    - Where it stands. V(rolled-back), or V(committed) or V(until-reboot) if it was too late.
    - The task fails only if the host could not roll back (C(rollback-failed) or C(commit-failed)), or was lost
      (C(unknown)).
  type: str
  returned: always, once the deployment has begun
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
deployment:
  description: The name of the deployment, as in C(/var/lib/deploy-flake/deployments.jsonl) on the host; empty if there
    was nothing to do.
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
  description: The system that runs now, as far as it is known. Of a specialisation it is the store path of its own.
  type: str
  returned: when the deployment has ended
boot_default:
  description: The system that would boot now.
  type: str
  returned: when the deployment has ended
boot_loader:
  description: The boot loader whose files the host has, V(systemd-boot), V(grub) or V(extlinux); V(unknown) where there
    are no such files, where they do not agree, or where what should be mounted is not.
  type: str
  returned: when the deployment has ended, or there was nothing to do
boot_loader_default:
  description:
    - The system that the boot loader starts by itself, as its own files say. It is RV(boot_default) where that was
      committed, but for a system that is wrapped, of which it is the one within.
    - Empty where that cannot be told, for which a reason is given. Then it is not proven that the host boots what it
      should.
  type: str
  returned: when the deployment has ended, or there was nothing to do
reboot_required:
  description: Whether the host has to be rebooted before it runs all of the new system.
  type: bool
  returned: when the deployment has begun
failed_units:
  description: The units that had failed.
  type: list
  elements: str
  returned: when the deployment has ended
notes:
  description: What else the operator should know, such as an earlier deployment that had to be repaired first, or that
    it could not be told what the boot loader starts. Also given as warnings, unless there was nothing to do.
  type: list
  elements: str
  returned: when the deployment has ended, or there was nothing to do
reason:
  description:
    - One word for why the task failed. Before a deployment began what was refused, such as C(busy), C(build-failed),
      C(other-hostname), C(no-space) or C(no-generation).
    - Of a deployment that did not end as it should, what stopped it, such as C(units-failed), C(unreachable),
      C(not-confirmed) or C(reboot-required). In check mode what would, or C(unclear) where the host could not find that
      out.
  type: str
  returned: failure
# Until here.
"""
