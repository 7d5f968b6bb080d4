# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks units, ports and pages until they are as they should be. See the module's documentation."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.urls import open_url

from ..plugin_utils._action import HostAction
from ..plugin_utils._host.answer import HostError
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_check`."""

    module = "system_check"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Check everything again and again until nothing is wrong, or the time is up."""
        if self.check_mode:
            return {"changed": False, "attempts": 0}
        ends = time.monotonic() + options["timeout"]
        attempts = 0
        while True:
            attempts += 1
            wrong = [*_units(host, options), *_ports(host, options), *_pages(options)]
            if not wrong:
                return {"changed": False, "attempts": attempts}
            if time.monotonic() >= ends:
                tried = f"{attempts} attempts in {options['timeout']} s"
                raise HostError(f"{host.name} fails its checks after {tried}: {'; '.join(wrong)}", "checks-failed")
            host.tell_more(f"not yet: {'; '.join(wrong)}")
            time.sleep(options["delay"])


def _units(host: Host, options: dict[str, Any]) -> Iterator[str]:
    if not options["units"]:
        return
    try:
        answer = host.run("units", units="\n".join(options["units"]), limit=60)
    except AnsibleConnectionFailure as error:
        yield f"the host does not answer ({error})"
        host.reset()
        return
    for found in answer.all("unit"):
        name, _space, state = found.rpartition(" ")
        if state != "active":
            yield f"{name} is {state or 'unknown'}"


def _ports(host: Host, options: dict[str, Any]) -> Iterator[str]:
    for port in options["ports"]:
        address = options["address"] or host.address or host.name
        try:
            socket.create_connection((address, port), timeout=5).close()
        except OSError as error:
            yield f"port {port} of {address} does not answer ({error})"


def _pages(options: dict[str, Any]) -> Iterator[str]:
    for page in options["urls"]:
        try:
            status = open_url(
                page["url"], timeout=10, validate_certs=page["validate_certs"], follow_redirects="none"
            ).status
        except HTTPError as error:
            status = error.code
        except (OSError, ValueError) as error:
            yield f"{page['url']} does not answer ({error})"
            continue
        if status != page["status"]:
            yield f"{page['url']} answers with {status} and not {page['status']}"
