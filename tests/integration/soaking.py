# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The randomised test: `python -m integration.soaking [--renew] [--two] SEEDS`, a number or FIRST-LAST.

Each seed is one deploy, one fault at one moment (or two), what must hold afterwards, a reboot, and another deploy. A
host on which something did not hold is left for looking at, unless it is to be renewed.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from integration import soak_secrets
from integration.soak_attempt import Attempt, Ended
from integration.soak_choice import BOOT_ONLY, CHECK, COMMAND, FLEET, LOADERS, SPECIALISATION, STEPS, Choice
from integration.soak_controllers import Controller, command, playbook
from integration.soak_faults_links import SLOW, why_not
from integration.soak_figures import Figures
from integration.soak_fleet import FleetAttempt
from integration.soak_invariants import Broken, evidence
from integration.soak_systems_by_hand import Flake
from integration.soak_systems_tried import CHECKS

from lab import Host, Lab

COUNT = 3
LIMITS = {"health": 30, "check": 15, "activate": 12, "confirm": 15, "commit": 20, "rollback": 25}
# The phases, the undo with each of its ladder's rungs, and PID 1 not answering now and then.
SUM = sum(LIMITS.values()) + 3 + 2 * LIMITS["rollback"] + 60
# The variables that make a way of deploying, and another controller.
WAYS: dict[str, dict[str, Any]] = {
    STEPS: {"deploy_flake_health_checks": {"units": ["hello.service"]}},
    BOOT_ONLY: {"deploy_flake_test": False},
    SPECIALISATION: {"deploy_flake_specialisation": "debug"},
}
BESIDE: dict[str, dict[str, Any]] = {
    "trial": {"deploy_flake_limits": LIMITS | {"reboot": 60}},
    "reboot": {"deploy_flake_only_if_needed": False, "deploy_flake_limits": LIMITS | {"reboot": 60}},
    "generations": {"deploy_flake_keep": 1, "deploy_flake_collect_garbage": True},
}


class Soak:
    """Seeds, each on the host that is its own; those of whole fleets on all of them."""

    def __init__(
        self, lab: Lab, directory: Path, say: Callable[[str], None], *, renew: bool = False, two: bool = False
    ) -> None:
        self.lab = lab
        self.renew = renew
        self.two = two
        self.say = say
        self.tag = secrets.token_hex(2)
        self.limits = LIMITS
        self.sum = SUM
        self.pause = directory / "checks.yml"
        self.pause.write_text(CHECKS, encoding="utf-8")
        self.hosts = list(lab.hosts.values())[:COUNT]
        self.figures = Figures()
        self.lengths: dict[str, float] = {}
        self.lost: set[str] = set()
        """Hosts that were left as they were."""
        # A controller looks at its flake at any time, so none shares it with another one.
        self.flakes, self.flakes_beside, self.by_hand = (
            {host.name: Flake(directory / kind / host.name) for host in self.hosts}
            for kind in ("own", "beside", "by-hand")
        )
        self.flakes["fleet"] = Flake(directory / "own" / "fleet")
        self.loaders = self.flakes["fleet"].loaders

    def run(self, seeds: Iterable[int]) -> None:
        """All of them; which host a seed has depends on its number alone."""
        every = list(seeds)
        self._say_what_is_not_possible()
        fleets = [seed for seed in every if Choice.of(seed, self.two).way == FLEET]
        own = {host: [seed for seed in every if seed % COUNT == host.number % COUNT] for host in self.hosts}
        with ThreadPoolExecutor(COUNT) as pool:
            for done in [pool.submit(self._on_host, host, mine, fleets) for host, mine in own.items()]:
                done.result()
        for seed in fleets:
            self._on_all(seed)

    def _say_what_is_not_possible(self) -> None:
        for words in SLOW:
            if why := why_not(words):
                self.say(f"not on this machine: a slow link by {words[0]}: {why}")
        for loader in sorted(set(LOADERS) - set(self.loaders)):
            self.say(f"not with this flake: {loader}")

    def _on_host(self, host: Host, seeds: list[int], fleets: list[int]) -> None:
        mine = [seed for seed in seeds if seed not in fleets]
        self._begin([host])
        for seed in mine:
            attempt = Attempt(self, host, seed)
            if not self._play(attempt, [host], seed):
                self.say(f"{host.name} is left as it is; {len(mine) - mine.index(seed) - 1} seeds are not tried")
                return

    def _on_all(self, seed: int) -> None:
        if self.lost:
            self.say(f"seed {seed} is not tried: {', '.join(sorted(self.lost))} is left as it is")
            return
        self._play(FleetAttempt(self, seed), self.hosts, seed)

    def _begin(self, hosts: list[Host]) -> None:
        """A first deploy by itself: how long one takes is known then."""
        for host in hosts:
            attempt = Attempt(self, host, 0)
            try:
                attempt.next_deploy(f"begin.{secrets.token_hex(2)}")
            except Exception:
                self.say(f"{host.name}: the first deploy\n{evidence(host, attempt.output)}")
                raise

    def _play(self, attempt: Attempt | FleetAttempt, hosts: list[Host], seed: int) -> bool:
        """One seed; whether the next one can be played."""
        began = time.monotonic()
        try:
            ended: Ended = attempt.run()
        except Exception as error:
            why = str(error) if isinstance(error, Broken) else traceback.format_exc()
            self.figures.add("lost")
            shown = "\n".join(evidence(host, attempt.output) for host in hosts)
            self.say(f"{attempt}: LOST: {why}\n{shown}")
            if not self.renew:
                self.lost |= {host.name for host in hosts}
                return False
            for host in hosts:
                host.free_disk()
                host.free_boot()
                host.mend()
            self.lab.reset(hosts)
            self._begin(hosts)
        else:
            self.figures.add(ended.outcome, ended.met)
            self.say(f"{attempt}: {ended.outcome}{attempt.remark} ({time.monotonic() - began:.0f} s)")
        return True

    # Controllers

    def variables(self, flake: Flake, loader: str, version: str) -> dict[str, Any]:
        """Of any deploy; the flake has another version then."""
        flake.become(version, loader)
        return {
            "deploy_flake_flake": str(flake.path),
            "deploy_flake_limits": LIMITS,
            "deploy_flake_reconnect_timeout": 90,
            "deploy_flake_lock_timeout": 120,
            "deploy_flake_copy_timeout": 60,
            "deploy_flake_build_timeout": 120,
        }

    def deploy(
        self,
        host: Host,
        loader: str,
        configuration: str,
        version: str,
        way: str,
        *,
        brings_secrets: bool = False,
        **variables: Any,
    ) -> Controller:
        """Start a deploy of a host, in one of the ways."""
        given = self.variables(self.flakes[host.name], loader, version)
        given["deploy_flake_configuration"] = f"{host.name}-{configuration}" if configuration else host.name
        given |= WAYS.get(way, {}) | variables
        if brings_secrets:
            given |= soak_secrets.given(version)
        if way == COMMAND:
            return command(self.lab, host, **given)
        return playbook(self.lab, host, "deploy", *(["--check"] if way == CHECK else []), **given)

    def beside(self, host: Host, loader: str, kind: str, version: str) -> Controller:
        """Start another controller, of a kind that is named as its playbook."""
        given = self.variables(self.flakes_beside[host.name], loader, version)
        given |= BESIDE.get(kind, {})
        return playbook(self.lab, host, kind, **given)

    def fleet(self, configurations: dict[str, str], loader: str, version: str, **variables: Any) -> Controller:
        """Start a deploy of all hosts that commits everywhere or nowhere."""
        given = self.variables(self.flakes["fleet"], loader, version) | variables
        given |= {"deploy_flake_all_or_nothing": True, "deploy_flake_configuration": "{{ soak[inventory_hostname] }}"}
        # How long all of them may take is computed.
        given["deploy_flake_limits"] = {name: value for name, value in LIMITS.items() if name != "confirm"}
        hosts = ",".join(host.name for host in self.hosts)
        return playbook(self.lab, self.hosts[0], "deploy", hosts=hosts, soak=configurations, **given)


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
    print(soak.figures.lines())
    return 1 if soak.figures.ended["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
