#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_info
short_description: Report what a NixOS host runs, what it boots, and how that came about
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Reads which system runs, which one was booted and which one would boot, the generations, failed units, free space on
    the disk, and the last deployments.
  - Says in words what is unusual about it, such as a system that was tested and never confirmed.
  - Changes nothing.
  - Without root it reports all but the deployments, and which system the boot loader starts where only root may
    read its files; RV(complete) is then false.
options:
  deployments:
    description: How many of the last deployments to return.
    type: int
    default: 5
  revisions:
    description:
      - Whether RV(generations) have their revisions. Each generation is asked for it, which takes some milliseconds.
    type: bool
    default: false
  flake:
    description:
      - A flake to compare the host with, as M(deploy_flake.nixos.flake_copy) takes it. See RV(drift).
      - The controller looks at it. Nothing is copied, built or evaluated.
      - A remote flake that does not name its revision is resolved once for all hosts, as
        M(deploy_flake.nixos.flake_copy) does it; by a host only as root.
      - A flake that is not there is an error, and the host is not asked.
    type: str
  configuration:
    description:
      - The name of the configuration that the host should run. A host to which another one of the flake was deployed
        has drifted.
      - Only looked at together with O(flake).
    type: str
extends_documentation_fragment:
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.fleet_status
  - module: deploy_flake.nixos.system_generations
"""

EXAMPLES = r"""
- name: Look at the host
  deploy_flake.nixos.system_info:
    flake: .
  become: true
  register: info

- name: Fail if it needs a reboot
  ansible.builtin.assert:
    that: not info.reboot_required

- name: Fail if anything is unusual
  ansible.builtin.assert:
    that: info.explanations | length == 0
    fail_msg: "{{ info.explanations | map(attribute='text') | join('; ') }}"
"""

RETURN = r"""
trial:
  description:
    - A system that is or was booted once with the module system_reboot, and was not kept; V(none) if there is none.
    - The next deployment or trial forgets it.
  type: dict
  returned: success
  contains:
    toplevel:
      description: The system.
      type: str
    in_progress:
      description: Whether the trial is under way.
      type: bool
    outcome:
      description: What has become of it, in words; empty while it is under way.
      type: str
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
current_system:
  description: The system that runs.
  type: str
  returned: success
specialisation:
  description: The name of the specialisation that runs; empty if none does.
  type: str
  returned: success
booted_system:
  description: The system that was booted.
  type: str
  returned: success
boot_default:
  description: The system that would boot, as the system profile says; empty if there is no system profile.
  type: str
  returned: success
boot_loader:
  description: The boot loader whose files the host has, V(systemd-boot), V(grub) or V(extlinux); V(unknown) where there
    are no such files, where they do not agree, or where what should be mounted is not.
  type: str
  returned: success
boot_loader_default:
  description:
    - The system that the boot loader starts by itself, as its own files say (systemd-boot, GRUB and extlinux).
    - Empty if that can't be told, as without the right to read them, with a choice that is kept in the firmware, with
      unified kernel images, or with a pattern that several entries match; RV(explanations) say why.
  type: str
  returned: success
generation:
  description: The number of the generation that is the boot default.
  type: int
  returned: success
ssh_host_keys:
  description: The public host keys of ssh, where its configuration names them or sshd has them by itself. sops-nix and
    agenix encrypt for these.
  type: list
  elements: dict
  returned: success
  sample: [{type: ssh-ed25519, key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx1yB0}]
  contains:
    type:
      description: Its type, as ssh names it.
      type: str
    key:
      description: Type and key, as in a file of known hosts.
      type: str
hostname:
  description: The name of the host.
  type: str
  returned: success
kernel_version:
  description: The version of the kernel that runs.
  type: str
  returned: success
nixos_version:
  description: The NixOS version of the system that runs.
  type: str
  returned: success
configuration_revision:
  description: The revision that the system that runs was built from; empty if it does not know.
  type: str
  returned: success
boot_default_revision:
  description: The revision that the boot default was built from; empty if it does not know.
  type: str
  returned: success
age:
  description:
    - For how many seconds the system that runs has been a generation, by the host's own clock.
    - V(none) if it is none, as while it is tested.
  type: int
  returned: success
health:
  description: What C(systemctl is-system-running) says.
  type: str
  returned: success
failed_units:
  description:
    - The units that have failed, and services that fail and are started again and again, of which systemd's own word
      (RV(health)) knows nothing.
  type: list
  elements: str
  returned: success
reboot_required:
  description: Whether RV(reboot_reasons) names anything.
  type: bool
  returned: success
reboot_reasons:
  description:
    - C(initrd), C(kernel), C(kernel-modules), C(kernel-params), C(append-initrd-secrets), C(dtbs), C(devicetree) and
      C(xen) where those of the boot default are not those that were booted.
    - C(boot-default) where the boot default does not run and waits for a reboot, as after a deployment without a test;
      not where what runs is only being tested, nor while a system runs that was booted once with
      M(deploy_flake.nixos.system_reboot).
  type: list
  elements: str
  returned: success
generations:
  description: Every generation of the system profile, oldest first.
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
free_space:
  description: How much space is free.
  type: dict
  returned: success
  contains:
    nix:
      description: The file system of C(/nix).
      type: dict
      contains:
        path:
          description: The directory that was looked at.
          type: str
        free_bytes:
          description: How much is free.
          type: int
        total_bytes:
          description: Its size.
          type: int
    boot:
      description:
        - The boot partition. The first of C(/boot), C(/efi) and C(/boot/efi) that is a file system of its own.
        - Where none is, the file system of C(/boot).
        - V(none) if there is no C(/boot).
      type: dict
      contains:
        path:
          description: The directory that was looked at.
          type: str
        free_bytes:
          description: How much is free.
          type: int
        total_bytes:
          description: Its size.
          type: int
deployments:
  description: The last deployments, oldest first, as the host has recorded them. Empty without root.
  type: list
  elements: dict
  returned: success
open_deployment:
  description: The deployment that is in progress or was left unfinished; V(none) if there is none.
  type: dict
  returned: success
  contains:
    deployment:
      description: Its name.
      type: str
    state:
      description: Where it stands; V(unknown) without root.
      type: str
    in_progress:
      description: Whether its supervisor runs. If not, the next deployment repairs it.
      type: bool
explanations:
  description:
    - What is unusual. Empty for a host that runs what it boots, whose boot loader agrees, and on which no deployment is
      open.
    - While a deployment is in progress, only that is told.
  type: list
  elements: dict
  returned: success
  contains:
    state:
      description:
        - V(deploying), a deployment is in progress. V(deployment-interrupted), one was left unfinished.
        - V(rollback-failed) or V(commit-failed), the last one ended so, and the host still is as it left it.
        - V(until-reboot), a system runs until the next reboot, as was asked for and confirmed.
        - V(tested-not-confirmed), another system runs that a reboot would end.
        - V(boot-default-not-live), the boot default was never activated.
        - V(booted-once), a system runs that M(deploy_flake.nixos.system_reboot) has booted once, and that is not the
          boot default yet.
        - V(no-boot-default), there is no system profile.
        - V(loader-disagrees), system profile and boot loader name different systems.
        - V(removal-interrupted), M(deploy_flake.nixos.system_generations) was interrupted.
      type: str
    text:
      description: What that means, and what to do.
      type: str
drift:
  description:
    - How the system that runs stands to O(flake); V(none) if no flake was given.
    - Compared are the revision from which the system, or the record of its deployment, says that it was built, and the
      content of the flake where there is a record of it.
    - A flake that has moved on may well give this host the same system again. Only a deployment in check mode tells.
  type: dict
  returned: success
  contains:
    state:
      description: C(none), C(drifted) or C(unknown).
      type: str
    text:
      description:
        - A few words for a table. V(no), V(3 behind) or V(1 ahead) in commits, V(another commit), V(other content), the
          other configuration, or V(unknown).
      type: str
    flake_revision:
      description: The revision of the flake; empty for a tree with changes that are not committed.
      type: str
    revision:
      description: The revision that the system was built from; empty if that is unknown.
      type: str
    why:
      description: Why it is unknown.
      type: str
complete:
  description: Whether it was asked as root, so that nothing is missing.
  type: bool
  returned: success
# Until here.
"""
