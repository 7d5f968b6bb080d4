# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reboots a host and waits for it, over connections that need nothing but a shell."""

from __future__ import annotations

import time

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host import Answer, Host, HostError


def reboot(host: Host, expected: str, limit: float) -> None:
    """Reboot into the boot default and make sure that it is the expected system; HostError after `limit` seconds."""
    before = host.persist(limit, lambda: host.run("reboot", boot_id="", may_reboot="no"), "about to reboot").get(
        "boot_id"
    )
    host.tell("reboots")
    ends = time.monotonic() + limit
    try:
        host.run("reboot", boot_id=before, may_reboot="yes", limit=30)
    except AnsibleConnectionFailure as error:
        host.tell_more(f"the connection ended with the reboot: {error}")
    while True:
        answer = _look(host)
        if answer and answer.get("boot_id") != before and answer.get("manager") in ("running", "degraded"):
            break
        if time.monotonic() > ends:
            raise HostError(
                f"{host.name} was told to reboot into {expected} and is not up again after {limit:.0f} s;"
                " look at its console",
                "not-back",
            )
        time.sleep(1)
    if answer.get("booted") != expected:
        raise HostError(f"{host.name} has rebooted, but into {answer.get('booted')} and not {expected}", "other-system")
    host.tell("has rebooted into the new system")


def _look(host: Host) -> Answer | None:
    host.reset()
    try:
        return host.run("reboot", boot_id="", may_reboot="no", limit=30)
    except (AnsibleConnectionFailure, HostError) as error:
        host.tell_more(f"not up yet: {error}")
        return None
