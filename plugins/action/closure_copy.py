# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies closures of store paths between hosts. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ..plugin_utils._action import HostAction
from ..plugin_utils._closure.copy import copy_closure
from ..plugin_utils._closure.settings import ClosureSettings
from ..plugin_utils._host.connection import Host


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.closure_copy`."""

    module = "closure_copy"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Ask each target what it lacks, and bring it from the source. One that fails stops no other."""
        settings = ClosureSettings.from_options(options, host.name)
        results, failures = copy_closure(settings, self.host_of, self.forks)
        if isinstance(error := failures.get(host.name), AnsibleConnectionFailure) and len(results) == 1:
            # To Ansible its host is unreachable.
            raise error
        for name, error in failures.items():
            results[name] |= {"failed": True, "msg": self.explain(host, error), **self.details(error)}
            results[name]["unreachable"] = isinstance(error, AnsibleConnectionFailure)
        result = {"changed": any(each["changed"] for each in results.values()), "targets": results}
        if not failures:
            return result
        whole = [name for name in results if name not in failures]
        told = "\n".join(dict.fromkeys(str(results[name]["msg"]) for name in failures))
        others = f"\n{', '.join(whole)} got all of it." if whole else ""
        reasons = {results[name].get("reason", "") for name in failures}
        return {**result, "failed": True, "msg": f"{told}{others}", "reason": min(reasons)}
