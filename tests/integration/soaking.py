# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The randomised test: `python -m integration.soaking [--renew] [--two] SEEDS`, a number or FIRST-LAST.

Each seed is one deploy, one fault at one moment (or two), what must hold afterwards, and another deploy. A host on
which something did not hold is left for looking at, unless it is to be renewed.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from integration.faulting import Deploying
from integration.playing import change_the_flake, copy_of_the_flake, remains, systems
from integration.soak_faults import Choice, Missed, Moment, Scene
from integration.soak_invariants import (
    HARMLESS,
    Broken,
    Watch,
    answers,
    at_rest,
    count_records,
    demand,
    evidence,
    is_open,
    outcomes_since,
    runs_whole,
    version_of,
)

from lab import Host, Lab

COUNT = 3
LIMITS = {"health": 30, "check": 15, "activate": 12, "settle": 1, "confirm": 15, "commit": 20, "rollback": 25}
# The phases, the undo with each of its ladder's rungs, and PID 1 not answering now and then.
SUM = sum(LIMITS.values()) + 2 * LIMITS["rollback"] + 60


class Soak:
    """Seeds, each on the host that is its own."""

    def __init__(
        self, lab: Lab, directory: Path, say: Callable[[str], None], *, renew: bool = False, two: bool = False
    ) -> None:
        self.lab = lab
        self.renew = renew
        self.two = two
        self.say = say
        self.figures: Counter[str] = Counter()
        self.flakes = {}
        self.lengths: dict[str, float] = {}
        for host in list(lab.hosts.values())[:COUNT]:
            (directory / host.name).mkdir()
            self.flakes[host.name] = copy_of_the_flake(directory / host.name)

    def run(self, seeds: Iterable[int]) -> None:
        """All of them; which host a seed has depends on its number alone."""
        hosts = list(self.lab.hosts.values())[:COUNT]
        with ThreadPoolExecutor(COUNT) as pool:
            every = list(seeds)
            own = {host: [seed for seed in every if seed % COUNT == host.number % COUNT] for host in hosts}
            for done in [pool.submit(self._on_host, host, mine) for host, mine in own.items()]:
                done.result()

    def _on_host(self, host: Host, seeds: list[int]) -> None:
        fresh = True
        for seed in seeds:
            began = time.monotonic()
            attempt = Attempt(self, host, seed)
            try:
                if fresh:
                    attempt.next_deploy("before")
                    fresh = False
                ended = attempt.run()
            except Exception as error:
                why = str(error) if isinstance(error, Broken) else traceback.format_exc()
                self.figures["lost"] += 1
                self.say(f"{attempt}: LOST: {why}\n{evidence(host, attempt.output)}")
                if not self.renew:
                    self.say(f"{host.name} is left as it is; {len(seeds) - seeds.index(seed) - 1} seeds are not tried")
                    return
                host.free_disk()
                host.free_boot()
                host.mend()
                self.lab.reset([host])
                fresh = True
            else:
                self.figures[ended] += 1
                self.say(f"{attempt}: {ended}{attempt.remark} ({time.monotonic() - began:.0f} s)")
            self.figures["faults"] += 1

    def deploy(self, host: Host, configuration: str, version: str) -> Deploying:
        """Start the collection's own playbook for another system."""
        flake = self.flakes[host.name]
        change_the_flake(flake, version)
        return Deploying(
            self.lab,
            host,
            "deploy_flake.nixos.deploy",
            deploy_flake_flake=str(flake),
            deploy_flake_configuration=f"{host.name}-{configuration}" if configuration else host.name,
            # Its unit lives for two seconds.
            deploy_flake_limits=LIMITS | ({"settle": 4} if configuration == "dies-later" else {}),
            deploy_flake_reconnect_timeout=90,
            deploy_flake_lock_timeout=120,
            deploy_flake_copy_timeout=60,
            deploy_flake_build_timeout=120,
        )

    def lines(self) -> str:
        """The figures."""
        return "\n".join(f"{name}: {self.figures[name]}" for name in ("faults", "committed", "previous", "lost"))


class Attempt:
    """One seed on one host."""

    def __init__(self, soak: Soak, host: Host, seed: int) -> None:
        self.soak = soak
        self.host = host
        self.seed = seed
        self.choice = Choice.of(seed, soak.two)
        self.moment = self.choice.moment
        self.output = ""
        self.remark = ""

    def __str__(self) -> str:
        system = f", {self.choice.configuration}" if self.choice.configuration else ""
        second = f", {self.choice.second}" if self.choice.second else ""
        return f"seed {self.seed}, {self.host.name}: {self.choice.fault} at {self.moment}{second}{system}"

    def run(self) -> str:
        """Deploy, break, look, deploy again; how the first one ended."""
        try:
            ended = self.try_fault(f"{self.seed}")
        except Missed:
            # The deploy was over: once more, at a moment that does not slip by.
            self.next_deploy(f"{self.seed}.missed")
            build = self.choice.fault == "kill the build"
            self.moment = Moment("", 0) if build else Moment("activating", 0)
            ended = self.try_fault(f"{self.seed}.again")
        self.next_deploy(f"{self.seed}.next")
        self.tidy()
        return ended

    def try_fault(self, version: str) -> str:
        """The deploy with the fault, and what must hold at its end."""
        host = self.host
        old, records = systems(host).running, count_records(host)
        soak, configuration = self.soak, self.choice.configuration
        with soak.deploy(host, configuration, version) as deployment, Watch(host, old) as watch:
            scene = Scene(
                host,
                lambda other: soak.deploy(host, "", f"{version}.{other}"),
                deployment,
                soak.lengths[host.name],
                self.choice.random,
            )
            try:
                self.moment.wait(scene)
                self.choice.happen(scene)
                answers(host, SUM)
                code = -9 if scene.controller_killed else deployment.end(2 * SUM)
                other_code = scene.other.end(2 * SUM) if scene.other else None
            finally:
                self.output = deployment.output
                if scene.other:
                    self.output += f"\n--- the other controller\n{scene.other.output}"
                    scene.other.__exit__()
            at_rest(host, lambda line: _may_stay(line, scene), SUM)
            now = runs_whole(host)
        demand(not watch.unconfirmed, f"the boot default was {watch.unconfirmed}, which nobody had confirmed")

        versions = {version_of(old), version, f"{version}.other"}
        for what, system in vars(now).items():
            demand(version_of(system) in versions or what == "booted", f"{what} is {system}, neither old nor new")
        if not (scene.rebooted and is_open(host)):
            demand(now.running == now.boot_default == now.loader, f"runs, would boot and boots three things: {now}")
        ended = outcomes_since(host, records)
        bad = {each["outcome"] for each in ended} - HARMLESS
        demand(not bad, f"a deployment has ended as {', '.join(bad)}")
        for which, status in ((version, code), (f"{version}.other", other_code)):
            mine = [each["outcome"] for each in ended if version_of(each["to"]) == which]
            demand(status != 0 or mine == ["committed"], f"the controller of {which} said success, and it is {mine}")
            if status and status > 0 and "committed" in mine:
                self.remark = ", though the controller failed"
        return "previous" if now.running == old else "committed"

    def next_deploy(self, version: str) -> None:
        """A deploy without a fault does what it is for, and leaves nothing at all."""
        before = self.output
        began = time.monotonic()
        with self.soak.deploy(self.host, "", version) as deployment:
            code = deployment.end(2 * SUM)
            self.soak.lengths[self.host.name] = time.monotonic() - began
            self.output = f"{before}\n--- the next deploy\n{deployment.output}"
        demand(code == 0, "the next deploy does not work")
        at_rest(self.host, lambda _line: False, 20)
        now = runs_whole(self.host)
        demand({version_of(now.running), version_of(now.boot_default), version_of(now.loader)} == {version}, str(now))
        demand(not is_open(self.host), "open.json is left")

    def tidy(self) -> None:
        """What an operator does now and then; a seed may not depend on how many came before."""
        profiles = self.host.root / "nix/var/nix/profiles"
        if len(list(profiles.glob("system-*-link"))) > 6:
            script = """
            nix-env -p /nix/var/nix/profiles/system --delete-generations +1
            /run/current-system/bin/switch-to-configuration boot
            nix-store --gc
            """
            self.host.run(script, timeout=120)
            demand(remains(self.host) == "", "tidying has left something")


def _may_stay(line: str, scene: Scene) -> bool:
    """What only the next deploy can take away: after a power loss, and when nobody is there who could."""
    if scene.rebooted and re.fullmatch(r"open\.json(\.new)?|deployment-.*", line):
        return True
    # A flake or system that was copied or built for a controller which is gone or got no answer, and that build's log.
    abandoned = r"[a-z0-9]{32}-.*|build-[0-9a-f]{16}"
    unreachable = "UNREACHABLE!" in scene.deployment.output
    return (scene.controller_killed or scene.rebooted or unreachable) and bool(re.fullmatch(abandoned, line))


def main() -> int:
    parser = argparse.ArgumentParser(prog="soaking")
    parser.add_argument("seeds", metavar="SEEDS")
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--two", action="store_true")
    arguments = parser.parse_args()
    first, _dash, last = arguments.seeds.rpartition("-")
    lab = Lab()
    lab.up(COUNT)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        soak = Soak(lab, Path(directory), partial(print, flush=True), renew=arguments.renew, two=arguments.two)
        soak.run(range(int(first or 1), int(last) + 1))
    print(f"{time.monotonic() - began:.0f} s")
    print(soak.lines())
    return 1 if soak.figures["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
