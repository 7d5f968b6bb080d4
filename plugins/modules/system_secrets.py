#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_secrets
short_description: Put secrets in place on a NixOS host, and keep its system
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Sends secrets to the host, puts in place what is different there, restarts or reloads the units that read them, and
    watches that these stay well.
  - It is a deployment of the system that the host runs, under the same supervisor, confirmed over a fresh connection.
    Nothing is activated, and nothing of the boot loader is written. Where a unit fails, or nobody can come in any more,
    the old secrets are put back and the units restarted once more.
  - Where all secrets are as they should be, nothing is begun.
options:
  health_policy:
    description:
      - Which units may have failed. V(strict) for none, before and after; V(no_new_failures) accepts those that had
        failed before.
      - The same as O(deploy_flake.nixos.system_test#module:health_policy).
    type: str
    choices: [strict, no_new_failures]
    default: strict
  ignore_units:
    description: Units that may fail, as shell patterns.
    type: list
    elements: str
    default: []
  allow:
    description: What is refused otherwise. V(unproven_way_in), a connection that works although nobody can come in from
      outside, as C(ansible_connection=local).
    type: list
    elements: str
    choices: [unproven_way_in]
    default: []
  message:
    description: Why, for the record on the host.
    type: str
    default: ""
  lock_timeout:
    description: For how many seconds to wait while another deployment is in progress on the host.
    type: int
    default: 300
extends_documentation_fragment:
  - deploy_flake.nixos.secrets
  - deploy_flake.nixos.limits
  - deploy_flake.nixos.confirmation
  - deploy_flake.nixos.addresses
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: Sends the secrets, has the host say which are different, and leaves nothing there.
    support: full
  diff_mode:
    description: Shows which secrets change, with their paths, owners and modes, and never a content.
    support: full
seealso:
  - module: deploy_flake.nixos.flake_deploy
"""

EXAMPLES = r"""
- name: Change the password of the database
  deploy_flake.nixos.system_secrets:
    secrets:
      - name: database
        content: "{{ vault_database_password }}"
        path: /run/app-secrets/database
        owner: app
        restart_units: [app.service]
  become: true

- name: One that sops decrypts on the controller
  deploy_flake.nixos.system_secrets:
    secrets:
      - name: tls
        command: [sops, --decrypt, --extract, '["tls"]', secrets.yml]
        path: /etc/secrets/tls.key
        group: nginx
        mode: "0440"
        reload_units: [nginx.service]
    remove_other_secrets: true
  become: true
"""

RETURN = r"""
state:
  description:
    - Where it stands. V(committed), V(unchanged), V(window) with O(confirm=false), or in check mode V(would-test) or
      V(would-refuse).
    - What ended otherwise fails the task; then this is C(refused), C(rolled-back), C(superseded), C(interrupted) or
      C(rollback-failed), or C(unknown) where the host was lost and may have begun.
  type: str
  returned: always, once the deployment has begun
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
toplevel:
  description: The system that runs.
  type: str
  returned: always
specialisation:
  description: >-
    Always empty: the system that runs stays.
  type: str
  returned: always
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
  returned: when the deployment has begun, and in check mode unless the host has the system
diff:
  description: The same for people, in Ansible's own form.
  type: list
  elements: dict
  returned: in diff mode, when something would change and the host has the new system in its store
secrets:
  description: The secrets that are different from what was there, and were put in place; in check mode, that would be.
  type: list
  elements: dict
  returned: when the host was asked about secrets
  sample: [{name: database, path: /run/app-secrets/database, change: content, owner: app, group: root, mode: '0400'}]
  contains:
    name:
      description: Its name.
      type: str
    path:
      description: Where it is.
      type: str
    change:
      description: V(added) where there was nothing, V(content) or V(permissions) (owner, group or mode) for what
        differs, V(listed) for one that is as it should be and that no deployment had placed yet, V(removed) for one
        that goes.
      type: str
    owner:
      description: Its owner; not of one that goes.
      type: str
    group:
      description: Its group, likewise.
      type: str
    mode:
      description: Its mode, likewise.
      type: str
    lasts:
      description: Whether it is there again after a reboot; not of one that goes. V(false) for one below C(/run) where
        the system that boots does not have C(deploy-flake.secrets.enable), and on any other tmpfs; there is a warning
        then.
      type: bool
decides_by:
  description:
    - When the host will have rolled back at the latest if nobody confirms, ISO 8601 in UTC.
    - Of a host that was lost, when it will have decided by itself at the latest, whatever had reached it.
  type: str
  returned: when it waits for confirmation, and when it was lost and may have begun
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
