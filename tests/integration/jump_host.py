# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of the lab that only one other address reaches, and the way to them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

from lab import Host


@contextmanager
def alone_with(host: Host, address: str) -> Iterator[None]:
    """The host reaches nobody else, and nobody else reaches it."""
    known = f"{{ {address}, 127.0.0.0/8 }}"
    rules = f"""
    table inet lab {{
        chain in {{ type filter hook input priority 0; ip saddr != {known} drop; }}
        chain out {{ type filter hook output priority 0; ip daddr != {known} drop; }}
    }}
    """
    host.run("nft -f -", stdin=rules, check=True)
    try:
        yield
    finally:
        host.run("nft delete table inet lab", check=True)


def ways_to(hosts: Mapping[str, Host], through: Mapping[str, Host]) -> dict[str, Any]:
    """Variables of a play that lead to some hosts through others; no connection is shared with another play's."""
    ways = {}
    for name, host in hosts.items():
        options = host.ssh_options()
        if jump := through.get(name):
            options += ["-o", f"ProxyCommand={shlex.join(jump.ssh_command('-W', '%h:%p'))}"]
        ways[name] = shlex.join(options)
    return {
        "ways": ways,
        "ansible_ssh_common_args": "{{ ways[inventory_hostname] }}",
        "ansible_control_path": f"%(directory)s/{token_hex(4)}-%%C",
    }
