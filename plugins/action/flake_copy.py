# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts a snapshot of a local flake into the host's store. See the module's documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host import Host
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.host_action import HostAction
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils.local_flake import (
    LocalFlake,
    LocalInput,
    RemoteFlake,
    Snapshot,
    find_flake,
    local_inputs,
)


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.flake_copy`."""

    module = "flake_copy"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Ask the host which snapshots it lacks, and send those."""
        flake = find_flake(options["flake"], Path.cwd())
        if isinstance(flake, RemoteFlake):
            return {"changed": False, "reference": flake.reference, "flake": options["flake"], "bytes_sent": 0}
        with flake.snapshot() as snapshot:
            return self._copy(host, options, flake, snapshot)

    def _copy(self, host: Host, options: dict[str, Any], flake: LocalFlake, snapshot: Snapshot) -> dict[str, Any]:
        inputs = local_inputs(flake)
        for name, why in inputs.left_out.items():
            host.warn(f"the input '{name}' is local to the controller and cannot be sent along: {why}")
        sources: dict[str, Snapshot | LocalInput] = {one.store_path: one for one in inputs.found}
        sources[snapshot.store_path] = snapshot
        answer = host.run("copy_ask", paths="\n".join(sources), limit=60)
        missing = answer.all("missing")
        sent = 0
        for path in missing:
            source = sources[path]
            nar = source if isinstance(source, Snapshot) else source.snapshot()
            sent += self._send(host, nar, options)
        if flake.untracked_nix_files:
            files = ", ".join(flake.untracked_nix_files[:5])
            host.warn(f"git does not track these files, so the flake does not contain them: {files}")
        return {
            "changed": bool(missing),
            "reference": flake.locked_reference(snapshot),
            "flake": options["flake"],
            "bytes_sent": sent,
            **_facts(flake, snapshot),
        }

    def _send(self, host: Host, snapshot: Snapshot, options: dict[str, Any]) -> int:
        host.tell(f"gets {snapshot.store_path}, {_size(snapshot.nar_size)}")
        with snapshot:
            nar = snapshot.nar.read()

        def send() -> None:
            limit = options["copy_timeout"]
            variables = {"path": snapshot.store_path, "nar_size": str(snapshot.nar_size)}
            host.send("copy_receive", data=nar, limit=limit, **variables)

        host.persist(options["reconnect_timeout"], send, "copying the flake")
        return snapshot.nar_size


def _facts(flake: LocalFlake, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "store_path": snapshot.store_path,
        "nar_hash": snapshot.nar_hash,
        "nar_size": snapshot.nar_size,
        "revision": flake.revision,
        "dirty": flake.dirty,
        "last_modified": flake.last_modified,
    }


def _size(size: int) -> str:
    return f"{size / 1024:.0f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"
