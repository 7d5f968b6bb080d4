# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the driver of NixOS's tests: runs the script of a check with machines that only say what they would.

The words of the command are parsed by the command's own parser; what comes of them is a model of what is promised.
"""

from __future__ import annotations

import json
import shlex
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from deploy_flake import Outcome, arguments

LOCKED_OUT = "locked-out"


@dataclass
class Target:
    """What a host boots and runs."""

    booted: str = "/first"
    running: str = "/first"
    profile: str = "/first"

    def read(self, path: str) -> str:
        return {
            "/run/booted-system": self.booted,
            "/run/current-system": self.running,
            "/nix/var/nix/profiles/system": self.profile,
        }[path]


@dataclass
class Machine:
    """What a script calls of a machine, and nothing more."""

    name: str
    network: Network

    def start(self, allow_reboot: bool = False) -> None:
        self.network.rebootable[self.name] = allow_reboot

    def wait_for_unit(self, unit: str) -> None:
        assert unit.endswith((".service", ".target"))

    def wait_until_succeeds(self, command: str) -> str:
        return self.succeed(command)

    def log(self, text: str) -> None:
        assert text

    def succeed(self, *commands: str) -> str:
        return "".join(self.network.run(command) for command in commands)

    def execute(self, command: str, timeout: int | None = 900) -> tuple[int, str]:
        program, *words = shlex.split(command)
        assert program == "deploy-flake"
        return self.network.deploy_flake(words)


@dataclass
class Network:
    targets: dict[str, Target]
    rebootable: dict[str, bool] = field(default_factory=dict)
    change: str = ""
    done: list[str] = field(default_factory=list)
    """What the command was told to do, and what came of it."""

    def run(self, command: str) -> str:
        words = shlex.split(command)
        if words[0] == "ssh":
            user, _at, name = words[1].partition("@")
            assert user == "deploy"
            return self.on(self.targets[name], words[2:])
        if words[0] == "cp" and words[-1].endswith("/change.nix"):
            self.change = words[1]
        if words[:2] == ["readlink", "-f"]:
            return self.on(next(iter(self.targets.values())), words)
        return ""

    def on(self, target: Target, words: list[str]) -> str:
        if words[0] == "cat":
            return "1"
        assert words[:2] == ["readlink", "-f"]
        found = []
        for path in words[2:]:
            system, _word, special = path.partition("/specialisation/")
            found.append(f"/{special}" if special else target.read(system))
        return "\n".join(found) + "\n"

    def deploy_flake(self, words: list[str]) -> tuple[int, str]:
        chosen = arguments.parser().parse_args(words)
        assert chosen.yes
        assert chosen.instrumentation == "json"
        names = [one.rpartition("@")[2] for one in chosen.destinations]
        events: list[dict[str, Any]] = [{"event": "started"}]
        codes = []
        for name in names:
            code, outcome = self.one(chosen, name)
            codes.append(code)
            events.append({"event": "result", "host": name, "outcome": outcome})
            self.done.append(f"{chosen.command} {outcome.value}")
        return max(codes), "\n".join(json.dumps(event) for event in events)

    def one(self, chosen: Any, name: str) -> tuple[int, Outcome]:
        target = self.targets[name]
        if chosen.command in ("reboot", "trial"):
            assert self.rebootable[name], "qemu would end"
        if chosen.command == "reboot":
            assert chosen.always
            target.booted = target.running = target.profile
            return 0, Outcome.DONE
        new = chosen.toplevel or f"/{'locked-out' if LOCKED_OUT in self.change else 'version'}-{name}"
        if new == target.running:
            return 0, Outcome.UNCHANGED
        if LOCKED_OUT in new:
            if chosen.command == "trial":
                target.running = target.booted = target.profile
            return 4, Outcome.ROLLED_BACK
        target.running = target.profile = new
        if chosen.command == "trial":
            target.booted = new
        return 0, Outcome.DEPLOYED


def drive(script: str, machines: list[str]) -> Network:
    """Run the script; what was done."""
    network = Network({name: Target() for name in machines if name != "controller"})
    names = {name: Machine(name, network) for name in machines}
    known: dict[str, Any] = {**names, "start_all": lambda: None, "subtest": lambda _: nullcontext()}
    exec(compile(script, "script of the check", "exec"), known)
    return network
