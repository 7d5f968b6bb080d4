# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a first installation, one of which no log may have."""

from __future__ import annotations

NO_LOG = ("host_keys",)
"""What no log may have; documentation has no field for that."""


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.install`."""

    DOCUMENTATION = r"""
options:
  disks:
    description:
      - The disks that may be erased, each as a path below C(/dev), best in C(/dev/disk/by-id). B(Naming a disk is the
        consent to lose all that is on it.)
      - Where the flake would erase another one, as C(disko.devices.disk) says, the task fails before anything is
        erased, and names that disk. So it does with none at all.
      - A disk that somebody uses is refused, and so is one with something on it that may belong with other disks (RAID,
        LVM, ZFS, btrfs, bcachefs). One with anything else on it wants a word, O(allow=data_on_disks).
      - Until it is installed no program can write to the other disks, but for what is mounted or swap, and the disk
        that it is on. One that is named and that the flake does not erase is one of those.
    type: list
    elements: str
    default: []
  host_keys:
    description:
      - Private ssh host keys of the new system, which it has from its first boot on. They reach the installer on
        standard input alone, and wait there in a directory of root's on a tmpfs.
      - Without any the installer makes an ed25519 key in C(/etc/ssh/ssh_host_ed25519_key) of the new system, unless the
        disk has one.
      - After the reboot only a host that has one of them is taken for the new one.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the new system has it, from its root on. Mode 0600; its public half is put beside it.
        type: str
        default: /etc/ssh/ssh_host_ed25519_key
      content:
        description: The private key, without a passphrase, as C(ssh-keygen) writes it; best from a vault.
        type: str
        required: true
  installer_user:
    description:
      - The user who logs in to the installer, such as V(root) or V(nixos). If not given the one who logs in to the host
        otherwise, as it is after the reboot in any case. Where nobody lets that user in, the other one asks once
        whether the host is installed already, and does nothing else.
    type: str
  install_timeout:
    description:
      - How many seconds the flake's disko script may take, and so many again C(nixos-install). After that either is
        ended and the task fails.
    type: int
    default: 3600
  first_boot_timeout:
    description: How many seconds the host may be away for its first boot. After that the task fails.
    type: int
    default: 600
"""
