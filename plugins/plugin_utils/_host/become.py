# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ways to become root, where each command gets its script on standard input and no terminal.

docs/become.md has them as a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import helper

WAITED = "waiting for privilege escalation prompt"
"""Ansible's words for a program that wants a password which was not given; it has no other sign of that."""
_OTHERS = "see docs/become.md of the collection"
_HINTS: Mapping[str, str] = {
    "helper": "sudo has to allow the login user deploy-flake-host without arguments, which has to be there:"
    " 'deploy-flake.user.helper' of the NixOS module makes both; where sudo asks for a password, give it",
    # busybox as /bin/sh runs its own su, which is not setuid, whatever PATH has.
    "su": "su wants root's own password: give it as become password (ansible_become_password, --ask-become-pass), and"
    " where /bin/sh is busybox the path of the host's su as ansible_become_exe",
    "doas": "doas asks for a password on a terminal alone, and there is none: let the login user do without ('permit"
    " nopass'; 'noPass' in security.doas.extraRules of NixOS), or become root with sudo or su",
    "run0": "run0 asks for a password on a terminal alone, and there is none: let a rule of polkit allow the login user"
    " org.freedesktop.systemd1.manage-units without one, or become root with sudo or su",
}


def method(connection: Any) -> str:
    """The short name of the way that a task becomes root; "" where it does not."""
    plugin = getattr(connection, "become", None)
    return str(getattr(plugin, "name", "")).rpartition(".")[2]


def by_helper(connection: Any) -> bool:
    """Whether a helper on the host, which is sent data, becomes root, and not a shell that is sent scripts."""
    return getattr(getattr(connection, "become", None), "name", "") == helper.METHOD


def cannot_work(name: str) -> str:
    """Why this way leads nowhere, whatever the host is like; "" where it may."""
    if name == "machinectl":
        return (
            "machinectl gives each command a terminal, which changes the scripts that it gets and what they answer; set"
            f" ansible_become_method to sudo or su, or to doas or run0 where they ask for no password ({_OTHERS})"
        )
    return ""


def hint(name: str) -> str:
    """What to do where somebody could not become root; "" where Ansible says enough."""
    return f"{_HINTS[name]} ({_OTHERS})" if name in _HINTS else ""
