# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that builds for others, hosts that get what it has built, and the task of one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unit.building import done, settings
from unit.building import failed as not_built
from unit.closures import Source, Target
from unit.fake_host import Asked, FakeHost, Scripted

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.elsewhere import build
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import BuildContext

NAMES = ("web1", "web2", "web3")
SYSTEMS = {name: f"/nix/store/{name[-1] * 32}-nixos-system-{name}" for name in NAMES}
DERIVATIONS = {name: f"{system}.drv" for name, system in SYSTEMS.items()}


class Builder(Source):
    """A host that evaluates and builds these configurations, and has what it builds."""

    def __init__(self, evaluates: Sequence[str] = NAMES, builds_all: bool = True) -> None:
        super().__init__(dict.fromkeys(SYSTEMS.values(), 100), {system: [system] for system in SYSTEMS.values()})
        self._evaluates = evaluates
        self._builds_all = builds_all
        self.roots: set[str] = set()
        """Those that a deployment there would let go of."""
        self.held: dict[str, set[str]] = {}
        """By the names of who holds what."""
        self.gone: set[str] = set()

    def answer(self, asked: Asked) -> Scripted:
        arguments = asked.inputs.get("nix_arguments", "")
        paths = asked.inputs.get("paths", "").split()
        match asked.command:
            case "closure_hold":
                self.held.setdefault(asked.inputs["id"], set()).update(paths)
                return {}
            case "closure_end":
                self.held.pop(asked.inputs["id"], None)
                return {}
            case "copy_ask":
                self.roots |= {*paths}
                return {}
            case "copy_drop":
                self.roots -= {*paths}
                return {}
            case "store_has":
                return {"missing": [path for path in paths if path in self.gone]}
            case "nix_eval":
                found = {
                    name: {"success": name in self._evaluates, "value": [SYSTEMS[name], DERIVATIONS[name]]}
                    for name in NAMES
                    if name in arguments
                }
                return {"status": "0", "value": json.dumps(found)}
            case "build" if "^out" in arguments:
                if not self._builds_all:
                    return not_built()
                self.roots |= {*paths, *(SYSTEMS[name] for name in NAMES if DERIVATIONS[name] in arguments)}
                return done()
            case "build":
                name = next((name for name in NAMES if name in arguments), "")
                if name not in self._evaluates:
                    return not_built()
                self.roots |= {*paths, SYSTEMS[name]}
                return done(toplevel=SYSTEMS[name], derivation=DERIVATIONS[name])
        return super().answer(asked)

    @property
    def builds(self) -> list[str]:
        """What `nix build` was asked for."""
        return [asked.inputs["nix_arguments"] for asked in self.asked if asked.command == "build"]


class Deployed(Target):
    """A host that gets a system, and looks at it."""

    def answer(self, asked: Asked) -> Scripted:
        if asked.command == "build":
            return done(toplevel=SYSTEMS[self.name], derivation="")
        return super().answer(asked)


def built(
    flake: str,
    host: FakeHost,
    /,
    *builders: FakeHost,
    check_mode: bool = False,
    names: Sequence[str] = NAMES,
    failed: Sequence[str] = (),
    is_deployed: bool = True,
    **given: Any,
) -> Mapping[str, Any]:
    """The return values of one host's task."""
    given = {"flake": flake, "build_on": [each.name for each in builders], "build_together": True} | given
    directory = Path(flake.removeprefix("path:")).parent
    by_name = {each.name: each for each in (host, *builders)}

    def shared(name: str) -> Path:
        return directory / f"shared-{name.replace('/', '-')}"

    needed = {name: name not in failed for name in names}
    context = BuildContext(check_mode, shared, by_name.__getitem__, lambda: needed, is_deployed=is_deployed)
    result, _answer = build(host, settings(**given), context, None)
    return result
