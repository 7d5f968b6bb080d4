#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_reboot
short_description: Reboot a host, or boot a system once to see whether it comes up
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Reboots a host and waits until it has come back with another boot id and has finished starting; makes sure that it
    has booted the system that was meant, and that no unit has failed. Python is not needed on the host.
  - With O(trial) a system that is not the boot default is booted B(once). Only when it has come up, is well and can be
    reached over a fresh connection does it become the boot default, by the same steps as any other deployment. A kernel
    that does not come up costs one power cycle; the boot default is never a system that has not booted.
  - The host is not rebooted while a deployment is in progress on it, or was left unfinished.
options:
  toplevel:
    description:
      - The store path of the system that the host is to boot. If not given the boot default.
      - Without O(trial) it has to be the boot default; the task fails otherwise, before anything is done.
    type: str
  only_if_needed:
    description:
      - Reboot only if the kernel, its modules or the initrd that were booted are not those of the system to boot; or if
        that is the boot default, and waits for a reboot, as after a deployment without a test.
      - Otherwise nothing is done, also with O(trial), and the task has not changed anything.
    type: bool
    default: false
  trial:
    description:
      - Boot O(toplevel) once, and make it the boot default only if it came up well. Needs O(toplevel), which must be
        valid on the host, and systemd-boot or GRUB, which forget the choice before they start the system.
      - Refused, before anything is changed, where the boot loader has nothing like it or could not forget the choice.
      - If the host comes back with its boot default, if the system is not well, or if it cannot be reached, the task
        fails and the boot default is what it was.
      - A system that was booted in such a way already is only checked and kept.
    type: bool
    default: false
  revert:
    description:
      - Whether a system that was tried with O(trial), came up and is not well, is left at once by rebooting into the
        boot default. Otherwise it is left running, and the next boot starts the boot default.
    type: bool
    default: true
  health_policy:
    description:
      - Which failed units make the task fail, or a system that is tried be left.
      - V(strict), any. V(no_new_failures), any that had not failed before the reboot.
      - A service that is started again and again while O(limits.settle) lasts after the reboot counts as failed.
    type: str
    choices: [strict, no_new_failures]
    default: strict
  ignore_units:
    description: Units that may fail, as shell patterns such as V(backup-*.service).
    type: list
    elements: str
    default: []
  confirm_hosts:
    description:
      - Other addresses at which the host may answer after the reboot; tried in turn with the one that Ansible knows.
      - The host key must be the one that the host had at its old address.
    type: list
    elements: str
    default: []
  allow:
    description:
      - What is refused otherwise of a system that is tried, before anything is changed. See
        M(deploy_flake.nixos.system_test).
    type: list
    elements: str
    choices: [other_hostname, no_ssh, other_architecture, unproven_way_in]
    default: []
  pre_activate_script:
    description:
      - A file of the system that is tried which is run as root before anything is changed, if it is there.
      - A status other than 0 refuses the system. Empty for none.
    type: str
    default: pre-activate-safety-checks
  lock_timeout:
    description: For how many seconds to wait while a deployment is in progress on the host. After that the task fails.
    type: int
    default: 300
extends_documentation_fragment:
  - deploy_flake.nixos.limits
  - deploy_flake.nixos.record
  - deploy_flake.nixos.host
  - deploy_flake.nixos.absent
attributes:
  check_mode:
    description:
      - Says whether the host would be rebooted. Nothing is, and no boot entry is made or chosen.
      - What would be refused fails the task, as it would without check mode; with O(trial) also a boot loader that
        cannot boot an entry once. Only O(pre_activate_script) is not run, since nobody knows what it does.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.system_boot
  - module: deploy_flake.nixos.system_info
"""

EXAMPLES = r"""
- name: Reboot if there is another kernel
  deploy_flake.nixos.system_reboot:
    only_if_needed: true
  become: true

- name: Boot a new system once, and keep it if it comes up well
  deploy_flake.nixos.system_reboot:
    toplevel: "{{ build.toplevel }}"
    trial: true
  become: true
"""

RETURN = r"""
state:
  description:
    - What was done. V(rebooted), V(not-needed) or, in check mode, V(would-reboot).
    - With O(trial) V(committed), it came up and is the boot default; V(unchanged), it was that already;
      V(not-needed); or, in check mode, V(would-try).
    - With O(trial), where the task has failed after the system was to be booted, V(reverted), the host runs its boot
      default again; V(unconfirmed), it runs the system that was tried, and would boot its boot default; V(unknown), it
      cannot be reached.
  type: str
  returned: success, and after a trial that has failed
rebooted:
  description: Whether the host has been rebooted by this task.
  type: bool
  returned: success
reboot_reasons:
  description:
    - What of V(kernel), V(kernel-modules) and V(initrd) was not that of the system to boot before.
    - V(boot-default) where the host ran what it had booted, and the boot default was another system.
  type: list
  elements: str
  returned: success
booted_system:
  description: The system that the host has booted.
  type: str
  returned: when the host could be reached in the end
previous_system:
  description: The system that the host had booted before.
  type: str
  returned: success
failed_units:
  description: The units that have failed, those that O(ignore_units) and O(health_policy) let pass included.
  type: list
  elements: str
  returned: when the host could be reached in the end
elapsed:
  description: For how many seconds the host was away, from the reboot until it had finished starting.
  type: float
  returned: when the host was rebooted and came back
deployment:
  description: The name of the deployment that has made the system the boot default.
  type: str
  returned: when a system that was tried was kept
notes:
  description: What else the operator should know, such as what became of an earlier trial. Also given as warnings.
  type: list
  elements: str
  returned: with O(trial)
reason:
  description: One word for why the task failed, such as C(busy), C(not-default), C(no-one-shot), C(not-back),
    C(other-system), C(not-up) or C(unhealthy).
  type: str
  returned: failure
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
generation:
  description: The number of the generation that is the boot default.
  type: int
  returned: when a system that was booted once was kept
system:
  description: The system that runs now, as far as it is known. Of a specialisation it is the store path of its own.
  type: str
  returned: when the host could be reached in the end
boot_default:
  description: The system that would boot now.
  type: str
  returned: when the host could be reached in the end
absent:
  description: V(true). Nobody has answered there, and nothing was done. Also returned where that makes the host
    unreachable.
  type: bool
  returned: when the host did not answer at the beginning
# Until here.
"""
