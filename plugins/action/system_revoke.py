# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells a deployment that waits for confirmation to undo now. See the module's documentation."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._deployment import deployment
from ..plugin_utils._host.connection import Host

# What a revocation is meant to end in, or finds done already.
_WELL = ("rolled-back", "committed", "refused", "superseded", "interrupted")
# It can't be revoked yet, and will be as soon as it waits for confirmation.
_BEFORE = ("checking", "activating", "settling")


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_revoke`."""

    module = "system_revoke"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Revoke, and follow the deployment to its end, whichever that is."""
        waiting = deployment.Deployment(host, options["deployment"], options["reconnect_timeout"])
        if self.check_mode:
            return {"changed": True, "deployment": waiting.id, "state": "would-revoke"}
        answer = waiting.ask("revoke", reason=options["reason"], awaited=" ".join(_BEFORE))
        if waiting.state in _BEFORE:
            waiting.follow(answer, lambda state: state not in _BEFORE)
            answer = waiting.ask("revoke", reason=options["reason"], awaited="")
        revoked = bool(answer.get("revoked"))
        answer = waiting.follow(answer, lambda _state: False)
        result = deployment.result_of(host, waiting, answer)
        if waiting.state == "committed" and not revoked:
            host.warn(f"deployment {waiting.id} was committed before it could be revoked; it stays")
        if waiting.state in _WELL:
            result.pop("failed", None)
            result.pop("msg", None)
        return result | {"changed": revoked, "revoked": revoked}
