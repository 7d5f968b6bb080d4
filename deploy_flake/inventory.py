# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory for destinations that were given by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy_flake.destination import Destination

ASK = "deploy_flake_own_hostname"
"""The group of hosts whose configuration has the name that the host itself reports."""


def write(destinations: Iterable[Destination], directory: Path) -> Path:
    """Write it and return the file. JSON is YAML."""
    hosts: dict[str, dict[str, Any]] = {}
    own: dict[str, dict[str, Any]] = {}
    for destination in destinations:
        host = {
            "ansible_host": destination.host,
            "ansible_user": destination.user,
            "ansible_port": destination.port,
            "deploy_flake_configuration": destination.configuration,
        }
        hosts[destination.name] = {name: value for name, value in host.items() if value is not None}
        if destination.configuration is None:
            own[destination.name] = {}
    asked = {"deploy_flake_configuration": "{{ deploy_flake_asked.hostname }}"}
    groups = {ASK: {"hosts": own, "vars": asked}} if own else {}
    file = directory / "hosts.yml"
    file.write_text(json.dumps({"all": {"hosts": hosts, "children": groups}}), "utf-8")
    return file
