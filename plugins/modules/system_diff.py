#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_diff
short_description: Say what changes from one system of a NixOS host to another
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Compares two systems that the host has in its store, such as two generations, as a deploy does in diff mode. That is
    packages (C(nix store diff-closures)), sizes, kernel and units.
  - Changes nothing.
options:
  compare_from:
    description:
      - The old system. The number of a generation, the store path of a system, V(previous), V(running), V(booted) or
        V(boot-default).
      - V(previous) is the generation before the boot default that has another system, to which
        M(deploy_flake.nixos.system_rollback) would go.
      - A generation that is not there is an error that names those that are.
    type: str
    default: previous
  compare_to:
    description: The new system, named in the same way.
    type: str
    default: boot-default
  show:
    description: Whether to print what was found, beside returning it.
    type: bool
    default: true
extends_documentation_fragment:
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
  diff_mode:
    description: Returns the same in either mode, and Ansible shows it in diff mode.
    support: full
seealso:
  - module: deploy_flake.nixos.system_info
  - module: deploy_flake.nixos.system_rollback
"""

EXAMPLES = r"""
- name: What did the last deployment change?
  deploy_flake.nixos.system_diff:
  become: true

- name: What lies between two generations?
  deploy_flake.nixos.system_diff:
    compare_from: "11"
    compare_to: "14"
  become: true
  register: compared

- name: Show the packages
  ansible.builtin.debug:
    msg: "{{ compared.changes.packages | map(attribute='name') }}"
"""

RETURN = r"""
reason:
  description: One word for why the task failed, such as C(no-generation), C(not-valid) or C(lost).
  type: str
  returned: failure
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
toplevel:
  description: The new system.
  type: str
  returned: success
previous_system:
  description: The old system.
  type: str
  returned: success
changes:
  description: What changes; V(none) where both are the same system.
  type: dict
  returned: success
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
  returned: success
# Until here.
"""
