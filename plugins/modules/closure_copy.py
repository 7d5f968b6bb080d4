#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: closure_copy
short_description: Copy store paths and all that they need from one host to others
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Copies the closure of store paths from the store of one host to those of others, over the connections that Ansible
    has to each, with its own user, port, jump hosts and C(become). The hosts need not reach each other, and the
    controller needs no Nix.
  - Each target is asked once for all of the closure what it lacks, and gets no more. The source is read once for all
    targets.
  - The controller has a few MiB of it at a time, and none of it on its disk.
  - As root on either end, so no signature is needed, whatever C(require-sigs) of the target says. Whoever is root on
    the source, and the controller, could do as they like with the targets.
  - Both ends are units of systemd, which go on over a connection that was lost. The copy goes on with the piece at
    which it was lost. What is whole in a target's store stays, and a later copy does not send it again.
  - While it goes on, all of it is kept from garbage collection on both ends. In the end O(paths) are kept on the
    targets until a deployment has ended there, as what M(deploy_flake.nixos.flake_build) builds.
  - A target that fails stops no other. The task fails then, and RV(targets) says for each how it went.
options:
  paths:
    description: Store paths for each target.
    type: list
    elements: str
    default: []
  paths_of:
    description:
      - Store paths for one target alone, a dictionary of hosts with a store path or a list of them each. No host gets
        what only another one needs.
      - One of O(paths) and O(paths_of) is needed.
    type: dict
    default: {}
  source:
    description:
      - The host of the inventory that has the paths. V(localhost) for a controller that has Nix and systemd; C(become)
        holds for it as well.
      - If not given the task's host, which cannot be the only target then.
    type: str
  targets:
    description:
      - The hosts of the inventory that get them. O(source) among them is passed over.
      - If not given those of O(paths_of), or the task's host. An empty list is nobody.
      - As many at a time as Ansible has forks; the paths are read once for these.
    type: list
    elements: str
  copy_timeout:
    description:
      - How many seconds one piece of at most 2 MiB may take. A host that gets or sends none for so long has failed.
      - A link that says nothing at all is given up after 20 seconds, and tried again for O(reconnect_timeout).
    type: int
    default: 600
  allow:
    description:
      - What to allow that is refused otherwise.
      - V(little_space), a target that has less free space on C(/nix) than the paths have bytes. For file systems that
        compress or share what they have.
    type: list
    elements: str
    choices: [little_space]
    default: []
extends_documentation_fragment:
  - deploy_flake.nixos.closure
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: In check mode the closure is copied all the same. The store is not the system.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.flake_build
"""

EXAMPLES = r"""
- name: Build where there is room for it
  deploy_flake.nixos.flake_build:
    flake: .
    configuration: web1
  delegate_to: build1
  become: true
  register: build

- name: Bring it to the host that it is for
  deploy_flake.nixos.closure_copy:
    source: build1
    paths: ["{{ build.toplevel }}"]
  become: true

- name: Bring the same to all of them, read once
  deploy_flake.nixos.closure_copy:
    source: build1
    targets: "{{ groups['web'] }}"
    paths: ["{{ build.toplevel }}"]
  become: true
  run_once: true
"""

RETURN = r"""
reason:
  description: One word for why nothing was copied to any target, such as C(not-valid) where the source does not have a
    path, C(not-exported), C(no-key), C(no-host) or C(lost).
  type: str
  returned: where the source failed, or the options are wrong
targets:
  description: What came of each target, by its name.
  type: dict
  returned: always, unless the options are wrong
  contains:
    changed:
      description: Whether its store has got anything.
      type: bool
    failed:
      description: V(true) where it has not got all of the closure; not there otherwise.
      type: bool
    unreachable:
      description: Whether it has failed since nobody could reach it; not there where it has not failed.
      type: bool
    msg:
      description: Why it has failed; not there otherwise.
      type: str
    reason:
      description: One word for that, such as C(no-space), C(no-memory), C(not-imported), C(not-signed), C(killed),
        C(too-slow) or C(lost).
      type: str
    paths:
      description: How many paths the closure has.
      type: int
    copied:
      description: How many of them it was sent.
      type: int
    substituted:
      description: How many of them its own substituters had.
      type: int
    bytes:
      description: The size in bytes of what it was sent, as it is in the store.
      type: int
    bytes_sent:
      description: How many bytes were sent to it, packed as they were.
      type: int
  sample: {web1: {changed: true, paths: 512, copied: 14, substituted: 0, bytes: 7340032, bytes_sent: 2621440}}
"""
