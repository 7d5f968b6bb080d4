#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_generations
short_description: Remove old generations, and free space on the boot partition and in the store
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Removes generations of the system profile by number and by age, and then has the boot loader written again for the
    boot default, so that the entries of those generations go and the boot partition has more free space.
  - Never removes the system that runs, the one that was booted, the boot default, one that a deployment needs which has
    not ended, one that is about to be booted once (M(deploy_flake.nixos.system_reboot)), or a generation one of whose
    specialisations is any of these.
  - Works in a systemd unit on the host that has the name of a deployment's, so that no deployment can begin meanwhile.
    It waits while one is in progress. A lost connection ends nothing; the task finds it again.
  - If the boot loader can't be written, the generations are put back as they were, and no garbage is collected.
  - With O(collect_garbage) what nothing needs any more is then removed from the store as well. Deployments may go on
    meanwhile; they keep what they need.
options:
  keep:
    description:
      - How many of the newest generations stay in any case.
      - With V(0) only those stay that are never removed, and those that O(keep_days) keeps.
      - If neither this nor O(keep_days) is given, no generation is removed.
    type: int
  keep_days:
    description:
      - For how many days after it was made a generation stays, by the host's own clock.
      - A generation is removed only if O(keep) does not keep it either.
    type: int
  collect_garbage:
    description: Whether to collect garbage in the store of the host (C(nix-store --gc)).
    type: bool
    default: false
  boot_timeout:
    description: How many seconds the boot loader may take to be written. The generations are put back after it.
    type: int
    default: 120
  garbage_timeout:
    description:
      - How many seconds garbage collection may take. After that the task fails; what was freed by then stays free.
    type: int
    default: 3600
  lock_timeout:
    description: For how many seconds to wait while a deployment is in progress. After that the task fails.
    type: int
    default: 300
extends_documentation_fragment:
  - deploy_flake.nixos.host
  - deploy_flake.nixos.absent
attributes:
  check_mode:
    description: In check mode it tells which generations would be removed. Garbage is not looked for.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.system_info
"""

EXAMPLES = r"""
- name: Keep the newest five, and what is younger than a month
  deploy_flake.nixos.system_generations:
    keep: 5
    keep_days: 30
    collect_garbage: true
  become: true
"""

RETURN = r"""
kept:
  description: The generations that stay.
  type: list
  elements: dict
  returned: success
  contains:
    generation:
      description: Its number.
      type: int
    why:
      description:
        - Why it stays. V(current), V(booted), V(boot default), V(open deployment), V(trial), V(newest) for O(keep),
          V(young) for O(keep_days), V(not asked for) if neither was given.
      type: list
      elements: str
boot_entries_written:
  description: Whether the boot loader was written again.
  type: bool
  returned: success
garbage:
  description: What was collected; V(none) if nothing was to be.
  type: dict
  returned: success
  contains:
    paths:
      description: How many store paths were removed, as Nix says.
      type: int
    freed_bytes:
      description: How much was freed, as Nix says. It rounds.
      type: int
    measured_bytes:
      description:
        - How much more is free on C(/nix) than before, be it by this or by something else meanwhile. Files with several
          links make it differ from RV(garbage.freed_bytes).
      type: int
    status:
      description: What C(nix-store --gc) ended with; V(0) if all went well.
      type: int
free_space_before:
  description: The free space before. As RV(deploy_flake.nixos.system_info#module:free_space).
  type: dict
  returned: success
free_space:
  description: The free space now. As RV(deploy_flake.nixos.system_info#module:free_space).
  type: dict
  returned: success
reason:
  description: One word for why the task failed, such as C(busy), C(boot-failed), C(garbage) or C(killed).
  type: str
  returned: failure
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
absent:
  description: V(true). Nobody has answered there, and nothing was done. Also returned where that makes the host
    unreachable.
  type: bool
  returned: when the host did not answer at the beginning
removed:
  description: The generations that were removed; in check mode those that would be.
  type: list
  elements: dict
  returned: success
  contains:
    generation:
      description: Its number.
      type: int
    date:
      description: When it was made, ISO 8601 in UTC.
      type: str
    system:
      description: The system.
      type: str
    kernel_version:
      description: The version of its kernel; empty if it has none.
      type: str
    nixos_version:
      description: Its NixOS version.
      type: str
    specialisations:
      description: The names of its specialisations.
      type: list
      elements: str
    revision:
      description:
        - The revision that it was built from, as the system itself or the record of a deployment says. Empty where
          neither knows, and where nobody has asked for revisions.
      type: str
# Until here.
"""
