# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One seed of the randomised test on a fleet that commits everywhere or nowhere: a fault on one of its hosts."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

from integration import soak_aftermath
from integration.soak_attempt import Attempt, Ended
from integration.soak_choice import Choice
from integration.soak_controllers import Controller
from integration.soak_invariants import answers, at_rest, demand, records, runs_whole, version_of
from integration.soak_scene import Scene, loader, truth
from integration.soak_systems_by_hand import system_of
from integration.soak_truth import fleet_report
from integration.soak_watch import Watch

from lab import Host

if TYPE_CHECKING:
    from integration.soaking import Soak


class FleetAttempt:
    """A deploy of all hosts, a fault on one, a look at all, a reboot of all, and another deploy of all."""

    def __init__(self, soak: Soak, seed: int) -> None:
        self.soak = soak
        self.seed = seed
        self.choice = Choice.of(seed, soak.two)
        self.hosts = soak.hosts
        self.victim = self.hosts[seed % len(self.hosts)]
        self.loader = "systemd-boot"
        self.output = ""
        self.remark = ""
        self.alone = Attempt(soak, self.victim, seed)
        self.alone.loader = self.loader

    def __str__(self) -> str:
        return f"{self.alone}"

    def run(self) -> Ended:
        """Deploy, break one, look, reboot, deploy again."""
        for host in self.hosts:
            attempt = Attempt(self.soak, host, self.seed)
            attempt.loader = self.loader
            attempt.prepare()
        self.soak.lengths.setdefault("fleet", 1.5 * max(self.soak.lengths.values()))
        ended = self.try_fault(self.alone.version())
        for host in self.hosts:
            soak_aftermath.comes_up(host, loader(host), self.choice.cut_power)
        self.next_deploy(self.alone.version("next"))
        return ended

    def try_fault(self, version: str) -> Ended:
        """The deploy with the fault, and what must hold at its end."""
        choice, hosts = self.choice, self.hosts
        before = {host: truth(host) for host in hosts}
        counts = {host: len(records(host)) for host in hosts}
        configurations = {host.name: host.name for host in hosts}
        if choice.configuration:
            configurations[self.victim.name] += f"-{choice.configuration}"
        with ExitStack() as stack:
            deployment = stack.enter_context(self.soak.fleet(configurations, self.loader, version))
            watches = {host: stack.enter_context(Watch(host)) for host in hosts}
            scenes = {host: self._scene(host, deployment, watches[host], version) for host in hosts}
            scene = scenes[self.victim]
            try:
                self.alone.moment.wait(scene)
                met = self.alone.happen(scene)
                for host in hosts:
                    answers(host, self.soak.sum, lambda: self.alone.help(scene, watches[self.victim]))
                code = -9 if scene.controller_killed else deployment.end(2 * self.soak.sum)
                soak_aftermath.nothing_lives_on(scene)
                others = [other.end(2 * self.soak.sum) for other in scene.others]
            finally:
                self.output += f"\n{deployment.output}"
                for other in scene.others:
                    self.output += f"\n--- another controller\n{other.output}"
                    stack.enter_context(other)
            outcomes = {}
            for host in hosts:
                scenes[host].controller_killed = scene.controller_killed
                scenes[host].controller_ends = scene.controller_ends
                # The host whose controller has lost another one may keep what was copied to it.
                at_rest(host, partial(soak_aftermath.may_stay, scenes[host], watches[host]), self.soak.sum)
                self.alone.help(scene, watches[self.victim])
                runs_whole(host, [system for system in (system_of(host, version), before[host].live) if system])
                after = soak_aftermath.Aftermath(
                    choice, scenes[host], watches[host], before[host], records(host)[counts[host] :]
                )
                after.check(code, others if host is self.victim else [])
                outcomes[host.name] = after.outcome
        self._check_the_report(outcomes, scene)
        committed = {name for name, outcome in outcomes.items() if outcome == "committed"}
        if committed and len(committed) < len(hosts):
            self.remark += f", divided: {', '.join(sorted(committed))} committed"
        if choice.configuration and watches[self.victim].states - {"checking", ""}:
            met.add(choice.configuration)
        ended = "committed" if committed else outcomes[self.victim.name]
        return Ended(ended, met | {choice.way, self.loader})

    def _scene(self, host: Host, deployment: Controller, watch: Watch, version: str) -> Scene:
        return Scene(
            host,
            lambda kind: self.alone.beside(version, watch, kind),
            deployment,
            version,
            system_of(host, f"{version}.theirs"),
            self.soak.lengths["fleet"],
            # Only the victim's is drawn from.
            self.choice.random if host is self.victim else Random(0),
            watch.allow,
        )

    def _check_the_report(self, outcomes: dict[str, str], scene: Scene) -> None:
        """Who is said to have committed has, and who is said to be as before is."""
        report = fleet_report(self.output)
        if not report:
            demand(
                scene.controller_killed or scene.controller_ends or set(outcomes.values()) == {"committed"},
                f"no report of a fleet that has ended as {outcomes}",
            )
            return
        demand(
            sorted(chain(*report.values())) == sorted(outcomes), f"the report does not name each host once: {report}"
        )
        for name, outcome in outcomes.items():
            said = next(word for word, names in report.items() if name in names)
            demand(said in ("unknown", outcome), f"the report has {name} as {said}, and it is {outcome}")

    def next_deploy(self, version: str) -> None:
        """A deploy of all without a fault commits everywhere."""
        began = time.monotonic()
        configurations = {host.name: host.name for host in self.hosts}
        with self.soak.fleet(configurations, self.loader, version) as deployment:
            code = deployment.end(2 * self.soak.sum)
            self.soak.lengths["fleet"] = time.monotonic() - began
            self.output += f"\n--- the next deploy\n{deployment.output}"
        demand(code == 0, "the next deploy does not work")
        for host in self.hosts:
            at_rest(host, lambda _line: False, 20)
            runs_whole(host)
            now = truth(host)
            demand(now.is_one and version_of(now.live) == version, f"after the next deploy {host.name} is {now}")
