# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether ssh to an address stays on this machine."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any


def this_machine() -> str:
    """Which boot of which machine this is, and which of its networks; "" where that cannot be told."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot_id} {os.readlink('/proc/self/ns/net')}"
    except OSError:
        return ""


def is_own(address: str, port: Any) -> bool:
    """Whether it does, as far as it can be told without asking anybody; a forwarded port may lead elsewhere."""
    if str(port or 22) != "22":
        return False
    if address in ("localhost", socket.gethostname()):
        return True
    try:
        parsed = ip_address(address)
        family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Nothing is sent: the kernel only chooses where it would come from.
            probe.connect((address, 22))
            return parsed.is_loopback or bool(ip_address(probe.getsockname()[0]) == parsed)
    except (OSError, ValueError):
        return False
