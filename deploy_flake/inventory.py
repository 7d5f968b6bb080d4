# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory for destinations that were given by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy_flake.destination import Destination
from deploy_flake.options import OptionError

ASK = "deploy_flake_own_hostname"
"""The group of hosts whose configuration has the name that the host itself reports."""


def must_be_there(sources: Iterable[str]) -> None:
    """Raises OptionError where a source is none: Ansible would warn, and begin with the hosts of the others."""
    for one in sources:
        if not isinstance(one, str):
            raise OptionError(f"an inventory is str, and not of type {type(one).__name__}")
        # What has a comma is a list of hosts. Ansible expands a path itself.
        path = os.path.expanduser(os.path.expandvars(one))
        if "," not in one and not os.path.exists(path):
            raise OptionError(
                f"the inventory {one!r} is not there; hosts are given as destinations, or as 'host1,host2,'"
            )
        if "," not in one and not os.access(path, os.R_OK):
            raise OptionError(f"the inventory {one!r} cannot be read")


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
