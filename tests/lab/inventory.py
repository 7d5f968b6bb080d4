# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible inventory of the lab, and the known_hosts file that goes with it."""

from __future__ import annotations

import json
import shlex

from lab import keys
from lab.host import Host
from lab.state import State


def write(state: State, hosts: list[Host]) -> None:
    known = [f"{_known_name(host)} {keys.public(keys.host_key(state, host.name))}\n" for host in hosts]
    state.known_hosts.write_text("".join(known))
    lines = ["nixos:", "  hosts:" if hosts else "  hosts: {}"]
    for host in hosts:
        lines.append(f"    {host.name}:")
        # A JSON string is a YAML string.
        lines += [f"      {key}: {json.dumps(value)}" for key, value in _variables(host).items()]
    state.inventory.write_text("\n".join(lines) + "\n")


def _known_name(host: Host) -> str:
    return host.address if host.port == 22 else f"[{host.address}]:{host.port}"


def _variables(host: Host) -> dict[str, str | int]:
    variables: dict[str, str | int] = {
        "ansible_host": host.address,
        "ansible_port": host.port,
        "ansible_user": host.user,
        "ansible_ssh_private_key_file": str(keys.login_key(host.state)),
        "ansible_ssh_common_args": shlex.join(host.ssh_options()),
    }
    if host.sudo_password:
        variables["ansible_become_password"] = host.sudo_password
    if host.ssh_timeout:
        variables["ansible_ssh_timeout"] = host.ssh_timeout
    return variables
