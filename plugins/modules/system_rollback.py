#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_rollback
short_description: Roll back to an earlier system, tested live and confirmed like any other
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Tests an earlier generation live, under the supervisor that rolls it back (M(deploy_flake.nixos.system_test)),
    confirms it over a fresh connection, and so makes it the boot default (M(deploy_flake.nixos.system_boot)). One task
    does it all.
  - Without O(generation) and O(toplevel) it goes to the highest generation below the boot default's that has another
    system. What runs at the moment does not count. As C(nixos-rebuild --rollback) it looks at the numbers of the
    generations alone. But from a system that was to run until the next reboot
    (O(deploy_flake.nixos.system_test#module:until_reboot)) it leads back to the boot default.
  - The system becomes a new generation, the highest one, unless the highest one has that very system already; then that
    becomes the boot default again. No generation is deleted. So a second rollback without O(generation) leads
    to where the first one came from. To go further, name the generation.
  - If the system fails, or cannot be confirmed, the host returns to what it ran and booted before, and the task
    fails.
  - A host that runs the system already and would boot it is left alone.
options:
  generation:
    description:
      - The number of the generation to roll back to. Mutually exclusive with O(toplevel).
      - One that the host does not have is an error, which lists those that it has, with their dates. So is a
        host without an earlier system. The host is left alone then.
    type: int
  toplevel:
    description: The store path of the system to roll back to; it has to be in the host's store. Mutually exclusive with
      O(generation).
    type: str
  health_policy:
    description:
      - Which state of the host is good enough, as for M(deploy_flake.nixos.system_test), but with another default.
      - Failed units may well be the reason for the rollback, so V(no_new_failures) does not refuse because of them, and
        does not undo the rollback if they go on failing.
      - V(strict) wants no failed unit before and after.
    type: str
    choices: [strict, no_new_failures]
    default: no_new_failures
extends_documentation_fragment:
  - deploy_flake.nixos.supervised
  - deploy_flake.nixos.deployment
  - deploy_flake.nixos.free_space
  - deploy_flake.nixos.limits
  - deploy_flake.nixos.record
  - deploy_flake.nixos.confirmation
  - deploy_flake.nixos.addresses
  - deploy_flake.nixos.host
  - deploy_flake.nixos.absent
attributes:
  check_mode:
    description:
      - In check mode the host checks itself and the earlier system, says which one it is and what would happen, as
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
- name: Roll back to the previous system
  deploy_flake.nixos.system_rollback:
  become: true

- name: Roll back to a generation, and check it before it stays
  deploy_flake.nixos.system_rollback:
    generation: 41
    confirm: false
  become: true
  register: back

- name: Check it from outside
  deploy_flake.nixos.system_check:
    units: [nginx.service]
  when: back.state == 'window'

- name: Confirm it
  deploy_flake.nixos.system_boot:
    toplevel: "{{ back.toplevel }}"
    deployment: "{{ back.deployment }}"
  become: true
  when: back.state == 'window'
"""

RETURN = r"""
generation_from:
  description: The number of the generation that was the boot default; null if it was none.
  type: int
  returned: once the system to roll back to has been found
generation_to:
  description: The number of the generation that was gone back to; null if O(toplevel) was given. What it has become
    is in RV(generation).
  type: int
  returned: once the system to roll back to has been found
state:
  description:
    - Where it stands. V(committed), V(unchanged), with O(confirm=false) V(window), the system runs and waits for
      confirmation, or in check mode V(would-rollback), V(would-boot) for a system that would become the boot default
      without a test, or V(would-refuse), which fails the task.
    - A rollback that ended otherwise fails the task; then this is C(refused), C(rolled-back), C(superseded),
      C(interrupted), C(rollback-failed) or C(commit-failed), or C(unknown) where the host was lost and may have begun.
      C(rolled-back) says that the rollback itself was undone.
  type: str
  returned: once the system to roll back to has been found
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
toplevel:
  description: The system to roll back to.
  type: str
  returned: once it has been found
specialisation:
  description: The specialisation of it that was to be activated; empty for the system itself.
  type: str
  returned: once the system to roll back to has been found
deployment:
  description: The name of the deployment, as in C(/var/lib/deploy-flake/deployments.jsonl) on the host; empty if there
    was nothing to do.
  type: str
  returned: once the system to roll back to has been found
generation:
  description: The number of the generation that is the boot default.
  type: int
  returned: when the deployment has ended, or there was nothing to do
previous_system:
  description: The system that ran before.
  type: str
  returned: once the system to roll back to has been found
previous_boot_default:
  description: The system that would have booted before.
  type: str
  returned: once the system to roll back to has been found
system:
  description: The system that runs now, as far as it is known. Of a specialisation it is the store path of its own.
  type: str
  returned: once the system to roll back to has been found
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
  description: What changes from the running system.
  type: dict
  returned: in diff mode, when something would change
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
  returned: in diff mode, when something would change
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
absent:
  description: V(true). Nobody has answered there, and nothing was done. Also returned where that makes the host
    unreachable.
  type: bool
  returned: when the host did not answer at the beginning
# Until here.
"""
