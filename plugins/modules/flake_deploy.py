#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flake_deploy
short_description: Deploy a flake to the host, from the copy to the boot default
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Does in one task what M(deploy_flake.nixos.flake_build), M(deploy_flake.nixos.system_test) and
    M(deploy_flake.nixos.system_boot) do one after the other, with the same steps and the same guarantees on the host.
  - A step that fails is the last one. The message and the state are its own. Without a confirmation the host rolls back
    by itself.
  - No host waits for another between two steps. For the controller one task is less work than three.
  - A host that runs the system already and would boot it is left alone, and asked only once.
  - For checks of your own between the test and the confirmation, set O(confirm=false), and confirm with
    M(deploy_flake.nixos.system_boot).
  - For a fleet that commits everywhere or nowhere use the modules for the steps, so that no host tests before all have
    built.
options:
  flake:
    description:
      - The flake, as M(deploy_flake.nixos.flake_copy) takes it; a local one is copied first.
      - One of O(flake) and O(toplevel) is needed.
    type: str
  toplevel:
    description:
      - The store path of a system that was built already, in place of a flake, as
        O(deploy_flake.nixos.flake_build#module:toplevel) takes it.
    type: str
  build_timeout:
    description: How many seconds the build, or fetching O(toplevel), may take on the host. It is ended after that, and
      the task fails.
    type: int
    default: 7200
  test:
    description:
      - Whether to test the system live before it becomes the boot default.
      - V(false) makes it the boot default without a test, and does not activate it; then nothing is promised.
      - Where the host runs and boots the system already and O(secrets) differ, these are tested and confirmed in any
        case, since no boot is to come that would bring them to the units that read them.
    type: bool
    default: true
extends_documentation_fragment:
  - deploy_flake.nixos.build
  - deploy_flake.nixos.closure
  - deploy_flake.nixos.copy
  - deploy_flake.nixos.supervised
  - deploy_flake.nixos.deployment
  - deploy_flake.nixos.until_reboot
  - deploy_flake.nixos.secrets
  - deploy_flake.nixos.free_space
  - deploy_flake.nixos.limits
  - deploy_flake.nixos.confirmation
  - deploy_flake.nixos.addresses
  - deploy_flake.nixos.host
  - deploy_flake.nixos.absent
attributes:
  check_mode:
    description: Each step does what its module does in check mode. The system is built, unless O(check_builds=false),
      and then the host says what would happen.
    support: full
  diff_mode:
    description: Shows packages, sizes, kernel and units that change from the running system.
    support: full
seealso:
  - module: deploy_flake.nixos.flake_build
  - module: deploy_flake.nixos.system_test
  - module: deploy_flake.nixos.system_boot
"""

EXAMPLES = r"""
- name: Deploy the flake of this directory
  deploy_flake.nixos.flake_deploy:
    flake: .
  become: true

- name: Deploy it, and check it from outside before it stays
  become: true
  block:
    - name: Deploy, and leave it waiting
      deploy_flake.nixos.flake_deploy:
        flake: .
        confirm: false
      register: deployed
    - name: Check that the page is there
      ansible.builtin.uri:
        url: "http://{{ inventory_hostname }}/"
      delegate_to: localhost
      become: false
    - name: Keep it
      deploy_flake.nixos.system_boot:
        toplevel: "{{ deployed.build.toplevel }}"
        deployment: "{{ deployed.deployment }}"
      when: deployed.state == 'window'
"""

RETURN = r"""
state:
  description:
    - Where the deployment stands, as the last step says it. V(committed), V(until-reboot) with O(until_reboot),
      V(unchanged), V(window) with O(confirm=false), or in check mode V(would-test), V(would-boot) or V(would-refuse),
      which fails the task.
    - A deployment that ended otherwise fails the task; then this is C(refused), C(rolled-back), C(superseded),
      C(interrupted), C(rollback-failed) or C(commit-failed), or C(unknown) where the host was lost and may have begun.
  type: str
  returned: always, once the deployment has begun
build:
  description: What M(deploy_flake.nixos.flake_build) returns.
  type: dict
  returned: always
  sample: {toplevel: /nix/store/71kdrkhl4szyl7y1fa8nmdhl03r1rjvm-nixos-system-web1-25.11, built: 3, bytes_sent: 18064}
test:
  description: What M(deploy_flake.nixos.system_test) returns.
  type: dict
  returned: when there is a system, and with O(test=true)
  sample: {state: window, deployment: 20260102T030405Z-1f2e3d4c, failed_units: []}
boot:
  description: What M(deploy_flake.nixos.system_boot) returns.
  type: dict
  returned: when the system was confirmed, or made the boot default without a test
  sample: {state: committed, generation: 42, reboot_required: false}
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
deployment:
  description: The name of the deployment, as in C(/var/lib/deploy-flake/deployments.jsonl) on the host; empty if there
    was nothing to do.
  type: str
  returned: always, once the deployment has begun
diff:
  description: What changes, for people, in Ansible's own form. The same is in RV(test).
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
