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
    be reached again is part of what is confirmed. The host then makes the system its boot default.
  - If that fails, the host rolls back to what it ran and booted before, and the task fails.
  - Without O(deployment) it makes a system the boot default that was not tested and is not activated. It runs after
    the next reboot, and nothing is promised of it.
  - O(secrets) are put in place without O(deployment) alone, as the system becomes the boot default. One that was tested
    has been given its own. Where the host runs and boots the system already, they are tested live and confirmed, as
    M(deploy_flake.nixos.system_secrets) does it.
  - Of a specialisation, the system that it belongs to becomes the boot default.
options:
  toplevel:
    description: The store path of the system. A deployment that is about another one is not confirmed.
    type: str
    required: true
  deployment:
    description: The deployment to confirm, as RV(deploy_flake.nixos.system_test#module:deployment) returns it.
    type: str
  brings_secrets:
    description:
      - Whether O(deployment) was begun with secrets, as RV(deploy_flake.nixos.system_test#module:secrets) being there
        tells. Their steps take longer, and RV(decides_by), the time that is named for a host which is lost, counts on
        that.
    type: bool
    default: false
  prepare:
    description:
      - Do not confirm yet, but check over a fresh connection whether the host could commit. Nobody else has switched
        it, and there is free space for its kernel and initrd on the boot partition. The time in which it waits for
        confirmation is extended once by O(limits.confirm).
      - For a fleet that commits everywhere or nowhere; needs O(deployment).
    type: bool
    default: false
extends_documentation_fragment:
  - deploy_flake.nixos.supervised
  - deploy_flake.nixos.deployment
  - deploy_flake.nixos.secrets
  - deploy_flake.nixos.free_space
  - deploy_flake.nixos.limits
  - deploy_flake.nixos.record
  - deploy_flake.nixos.addresses
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description:
      - In check mode nothing is confirmed and nothing is made the boot default. Without O(deployment) the host checks
        itself and the new system, runs the pre-switch checks and says what would happen.
      - A system that would be refused fails the task, as it would without check mode.
    support: full
  diff_mode:
    description:
      - Shows packages, sizes, kernel and units that change from the boot default. Nothing with O(deployment).
      - It costs one more command on the host, and none in check mode.
      - Where the closures cannot be compared, there is a warning and nothing fails.
    support: full
seealso:
  - module: deploy_flake.nixos.system_test
"""

EXAMPLES = r"""
- name: Confirm the system
  deploy_flake.nixos.system_boot:
    toplevel: "{{ build.toplevel }}"
    deployment: "{{ test.deployment }}"
  become: true
  when: test.state == 'window'

- name: Boot another system next time, without a test
  deploy_flake.nixos.system_boot:
    toplevel: "{{ build.toplevel }}"
  become: true
"""

RETURN = r"""
state:
  description:
    - Where it stands. V(committed), V(until-reboot) where the system was tested with
      O(deploy_flake.nixos.system_test#module:until_reboot), V(prepared), V(unchanged) or, in check mode, V(would-boot)
      or V(would-refuse), which fails the task.
    - A deployment that ended otherwise fails the task; then this is C(refused), C(rolled-back), C(superseded),
      C(interrupted), C(rollback-failed) or C(commit-failed), or C(unknown) where the host was lost and may have begun.
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
  returned: when the deployment has begun, and in check mode unless the host has the system
would:
  description:
    - In check mode, what C(switch-to-configuration dry-activate) says it would do with units. A unit that is stopped
      under the old system and started under the new one is in both lists.
    - V(none) where that is not known, since the system was not built or would be refused. All is empty where nothing
      would be activated.
  type: dict
  returned: in check mode, unless the host has the system
  contains:
    stop:
      description: Units that would be stopped.
      type: list
      elements: str
    start:
      description:
        - Units that would be started. New ones that a target pulls in are not named by C(dry-activate); in diff mode
          they are in RV(changes).
      type: list
      elements: str
    restart:
      description: Units that would be restarted.
      type: list
      elements: str
    reload:
      description: Units that would be reloaded.
      type: list
      elements: str
    keep:
      description: Units that have changed and would run on as they are, since they do not allow a restart.
      type: list
      elements: str
    swapoff:
      description: Swap devices that would be taken away.
      type: list
      elements: str
    restart_systemd:
      description: Whether systemd itself would be executed again.
      type: bool
reboot_reasons:
  description:
    - In check mode, why a reboot would be needed. C(kernel), C(initrd), C(kernel-modules), C(kernel-params),
      C(append-initrd-secrets) (what puts secrets into the initrd), C(dtbs) and C(devicetree) (device trees) and C(xen)
      (the hypervisor) are not those that were booted; C(inhibitor NAME) is one of NixOS's switch inhibitors that
      changes; C(boot-only) is a system that would not be activated; C(status-100), that C(switch-to-configuration)
      exited 100.
  type: list
  elements: str
  returned: in check mode, unless the host has the system
valid:
  description: In check mode, whether the system is in the host's store. If not, nothing is known of what it would do.
  type: bool
  returned: in check mode, unless the host has the system
free_space:
  description:
    - In check mode, how much space is free.
    - What is needed is what O(min_free_space) says, and on C(boot) at least as much as kernels and initrds take that
      are not there yet. The boot loader may remove those of older generations first.
  type: dict
  returned: in check mode, unless the host has the system
  sample: {nix: {free_bytes: 5368709120, needed_bytes: 33554432, enough: true}}
  contains:
    nix:
      description: The file system of C(/nix).
      type: dict
      contains:
        free_bytes:
          description: How much is free.
          type: int
        needed_bytes:
          description: How much a deployment needs.
          type: int
        enough:
          description: Whether that is enough.
          type: bool
    boot:
      description: The file system of C(/boot), where it is one of its own.
      type: dict
      contains:
        free_bytes:
          description: How much is free.
          type: int
        needed_bytes:
          description: How much a deployment needs.
          type: int
        enough:
          description: Whether that is enough.
          type: bool
changes:
  description: What changes from the boot default.
  type: dict
  returned: in diff mode, when something would change and the host has the new system in its store
  contains:
    from:
      description: The old system.
      type: str
    to:
      description: The new system.
      type: str
    packages:
      description:
        - The packages that differ between the closures of the two, as C(nix store diff-closures) sees them. At most
          1500.
      type: list
      elements: dict
      sample: [{name: hello, before: [2.12.1], after: [2.12.2], size_change_bytes: 0}]
      contains:
        name:
          description: Its name.
          type: str
        before:
          description: The versions that only the old system has.
          type: list
          elements: str
        after:
          description: The versions that only the new system has.
          type: list
          elements: str
        size_change_bytes:
          description: How much it has grown; V(0) below 8 KiB.
          type: int
    packages_left_out:
      description: How many packages more there are.
      type: int
    closure_bytes:
      description: The sizes of the two closures in bytes.
      type: dict
      contains:
        before:
          description: That of the old one; V(none) if it is not known.
          type: int
        after:
          description: That of the new one; V(none) if it is not known.
          type: int
    kernel:
      description: The versions of the kernel; empty for a system without one.
      type: dict
      contains:
        before:
          description: That of the old system.
          type: str
        after:
          description: That of the new one. It ends with C(built again) where the version is the same and the kernel
            another.
          type: str
    units:
      description: Names of units. Drop-ins count.
      type: dict
      contains:
        added:
          description: Those that only the new system has.
          type: list
          elements: str
        removed:
          description: Those that only the old system has.
          type: list
          elements: str
        changed:
          description: Those that are different.
          type: list
          elements: str
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
