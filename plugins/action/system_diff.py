# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says what changes from one system of a host to another. See the module's documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.utils.display import Display

from ..plugin_utils._action import HostAction
from ..plugin_utils._codes import Named, Refusal
from ..plugin_utils._deployment import diff
from ..plugin_utils._flake.store_path import is_store_path
from ..plugin_utils._host.answer import HostError
from ..plugin_utils._host.connection import Host
from ..plugin_utils._printable import printable


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_diff`."""

    module = "system_diff"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Have the host compare what it has."""
        old, new = (_checked(name, options[name]) for name in ("compare_from", "compare_to"))
        answer = diff.compare(host, old, new, options["reconnect_timeout"])
        systems = {"previous_system": answer.get("from"), "toplevel": answer.get("to")}
        found = diff.result_of(host, answer)
        if not found and systems["previous_system"] != systems["toplevel"]:
            raise HostError(
                f"{host.name} has no nix in its system that compares {systems['previous_system']} with"
                f" {systems['toplevel']}",
                Refusal.NO_TOOL,
            )
        if options["show"]:
            _show(host, old, new, found.get("diff", ()))
        return {"changed": False, **systems, "changes": None, "diff": [], **found}


def _show(host: Host, old: str, new: str, diffs: Sequence[Mapping[str, str]]) -> None:
    """What differs, for people. Ansible itself shows it where something was changed."""
    host.tell(f"{old} and {new} are {'not ' if diffs else ''}the same system")
    for one in diffs:
        for sign, side in (("-", "before"), ("+", "after")):
            lines = [one[f"{side}_header"], *one[side].splitlines()]
            Display().display(printable("\n".join(f"  {sign} {line}" for line in lines)))


def _checked(name: str, said: str) -> str:
    words = list(Named)
    if said in words or is_store_path(said) or re.fullmatch("[1-9][0-9]*", said, re.ASCII):
        return said
    raise HostError(
        f"{name} is the number of a generation, the store path of a system, {', '.join(words[:-1])} or {words[-1]},"
        f" and not {said!r}",
        Refusal.BAD_OPTION,
    )
