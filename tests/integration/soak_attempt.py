# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One seed of the randomised test on one host."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from integration import soak_aftermath, soak_choice, soak_secrets
from integration.playing import remains
from integration.soak_choice import Choice
from integration.soak_controllers import Controller
from integration.soak_faults import FAULTS, THEIR_SYSTEM
from integration.soak_invariants import (
    answers,
    at_rest,
    boots_where_it_said_so,
    builds,
    demand,
    is_busy,
    is_open,
    records,
    runs_whole,
    version_of,
)
from integration.soak_scene import Missed, Moment, Scene, loader, truth
from integration.soak_systems_by_hand import BOOT_LOST, give_loader, loader_of, switch_by_hand, system_of
from integration.soak_systems_tried import during, tidy_up
from integration.soak_watch import Watch

from lab import Host
from lab.shell import LabError

if TYPE_CHECKING:
    from integration.soaking import Soak


@dataclass
class Ended:
    """How a deploy with a fault has ended."""

    outcome: str
    """Committed, previous or superseded."""
    met: set[str] = field(default_factory=set)
    """The faults that it has met."""


class Attempt:
    """A deploy, a fault, a look, a reboot, and another deploy."""

    def __init__(self, soak: Soak, host: Host, seed: int) -> None:
        self.soak = soak
        self.host = host
        self.seed = seed
        self.choice = Choice.of(seed, soak.two)
        if host.shell == "busybox" and self.choice.configuration == "broken-path":
            # Its shell has tools of its own: there is nothing to roll back, and nothing but the shell works afterwards.
            self.choice = replace(self.choice, configuration="exit-4")
        self.moment = self.choice.moment
        self.loader = self.choice.loader if self.choice.loader in soak.loaders else "systemd-boot"
        self.output = ""
        self.remark = ""
        self.committed = False
        self.untested = False
        """Whether the host runs one system and would boot another, which a deploy has to be allowed."""
        self.abandoned: set[str] = set()
        """Builds since the last boot whose controller is gone."""

    def __str__(self) -> str:
        choice = self.choice
        kind = "" if choice.way == soak_choice.PLAYBOOK else choice.way
        words = (choice.second, choice.configuration, kind, choice.beginning, self.loader)
        more = "".join(f", {word}" for word in words if word and word != "systemd-boot")
        return f"seed {self.seed}, {self.host.name}: {choice.fault} at {self.moment}{more}"

    def version(self, *words: str) -> str:
        """What systems of this seed are told by, also from those of another run of it."""
        return ".".join((str(self.seed), self.soak.tag, *words))

    def run(self) -> Ended:
        """Deploy, break, look, reboot, deploy again."""
        self.prepare()
        ended = self.try_fault(self.version())
        if self.choice.fault not in ended.met and self.choice.fault != "nothing":
            # The deploy was over: once more, at a moment that does not slip by.
            self.next_deploy(self.version("missed"))
            self.moment = (
                Moment("", 0) if self.choice.fault in ("kill the build", "kill nix-daemon") else Moment("activating", 0)
            )
            second = self.try_fault(self.version("again"))
            ended = Ended(second.outcome, ended.met | second.met)
        if not self.choice.deploy_first:
            self.reboot()
        self.next_deploy(self.version("next"))
        if self.choice.deploy_first:
            self.reboot()
        self.tidy()
        return ended

    def prepare(self) -> None:
        """What the host is like before."""
        host, flake = self.host, self.soak.by_hand[self.host.name]
        if loader_of(host) != self.loader:
            give_loader(host, flake, self.version("by-hand"), self.loader)
        if self.choice.system.runs_before:
            self.next_deploy(self.version("before"), self.choice.system.runs_before)
        if self.choice.beginning:
            with self.deploy(BOOT_LOST, self.version("lost"), soak_choice.PLAYBOOK) as deployment:
                deployment.end(2 * self.soak.sum)
                self.output += f"\n--- commit-failed\n{deployment.output}"
            host.run("mount -o remount,rw /boot", check=True)
            outcome = records(host)[-1]["outcome"]
            demand(outcome == "commit-failed", f"a boot partition that cannot be written makes it {outcome}")
            at_rest(host, self.is_kept, 20)
        if THEIR_SYSTEM & {self.choice.fault, self.choice.second}:
            for version in (self.version("theirs"), self.version("again", "theirs")):
                flake.become(version, self.loader)
                flake.build(host)

    def deploy(self, configuration: str, version: str, way: str, **variables: Any) -> Controller:
        """Start a deploy of the host."""
        allow = ["untested_boot_default"] if self.untested or self.choice.beginning else []
        return self.soak.deploy(
            self.host,
            self.loader,
            configuration,
            version,
            way,
            brings_secrets=self.choice.brings_secrets,
            deploy_flake_allow=allow,
            **variables,
        )

    def variables(self) -> dict[str, Any]:
        """What the seed's own deploy is given."""
        system = self.choice.system
        given: dict[str, Any] = {"deploy_flake_limits": {**self.soak.limits, **system.limits}}
        if system.fails_when_told:
            given["deploy_flake_checks"] = str(self.soak.pause)
        return given

    def beside(self, version: str, watch: Watch, kind: str) -> Controller:
        """Start another controller on the host, beside the one that deploys."""
        own = f"{version}.{kind}"
        if kind == "trial":
            watch.allow_version(own)
        if kind == "rollback":
            for system in soak_aftermath.generations(self.host):
                watch.allow(system)
        other = self.soak.beside(self.host, self.loader, kind, own)
        other.kind, other.version = kind, own
        return other

    def try_fault(self, version: str) -> Ended:
        """The deploy with the fault, and what must hold at its end."""
        host, choice = self.host, self.choice
        before, count = truth(host), len(records(host))
        secrets = soak_secrets.there(host)
        own = version
        if choice.beginning == soak_choice.COMMIT_FAILED_SAME:
            # The deploy has to see that this is more than nothing.
            own = version_of(before.live)
        met = set()
        with self.deploy(choice.configuration, own, choice.way, **self.variables()) as deployment, Watch(host) as watch:
            if choice.way == soak_choice.BOOT_ONLY:
                watch.allow_version(own)
            scene = Scene(
                host,
                lambda kind: self.beside(version, watch, kind),
                deployment,
                own,
                system_of(host, f"{version}.theirs"),
                self.soak.lengths[host.name],
                choice.random,
                watch.allow,
            )
            try:
                with during(self.choice.system, scene):
                    self.moment.wait(scene)
                    met = self.happen(scene)
                answers(host, self.soak.sum, lambda: self.help(scene, watch))
                code = -9 if scene.controller_killed else deployment.end(2 * self.soak.sum)
                soak_aftermath.nothing_lives_on(scene)
                codes = [other.end(2 * self.soak.sum) for other in scene.others]
            finally:
                self.output += f"\n{deployment.output}"
                for other in scene.others:
                    self.output += f"\n--- another controller\n{other.output}"
            try:
                if choice.brings_secrets:
                    soak_secrets.let_go(host)
                tidy_up(self.choice.system, scene)
                at_rest(
                    host, lambda line: soak_aftermath.may_stay(scene, watch, line) or self.is_kept(line), self.soak.sum
                )
                self.abandoned |= builds(host)
                self.help(scene, watch)
                boots_where_it_said_so(host, records(host)[count:], self.soak.sum)
                self.mend_logins(scene, watch)
                theirs = [change.live or change.boot or "" for change in scene.changed]
                others = [system_of(host, own), *theirs, before.live]
                if choice.configuration == "network-online-hangs" and any(change.live for change in scene.changed):
                    # A start that waits for another unit is in systemd's queue, where whoever switches does not see it.
                    del others[0]
                runs_whole(host, [system for system in others if system])
                aftermath = soak_aftermath.Aftermath(choice, scene, watch, before, records(host)[count:])
                aftermath.check(code, codes)
                if choice.brings_secrets:
                    aftermath.check_secrets(secrets, own)
            finally:
                for other in scene.others:
                    other.__exit__()
        self.remark += aftermath.remark
        self.committed = aftermath.outcome == "committed"
        self.untested = not truth(host).is_one
        if choice.configuration and watch.states - {"checking", ""}:
            met.add(choice.configuration)
        return Ended(aftermath.outcome, met | {word for word in (choice.beginning, self.loader, choice.way) if word})

    def is_kept(self, line: str) -> bool:
        """Whether it is a root of a deployment that ended as commit-failed, which stays until another one commits."""
        return bool(self.choice.beginning) and bool(re.fullmatch(r"deployment-.*|[a-z0-9]{32}-.*", line))

    def happen(self, scene: Scene) -> set[str]:
        """Do it, and wait until it is over; what was not missed."""
        names = [name for name in (self.choice.fault, self.choice.second) if name]
        with ThreadPoolExecutor() as pool:
            acts = []
            for name in names:
                acts.append(pool.submit(FAULTS[name].happen, scene))
                if name != names[-1]:
                    time.sleep(self.choice.random.uniform(0, 2))
        met = set()
        for name, act in zip(names, acts, strict=True):
            error = act.exception()
            # The first of two may have switched the host off.
            harmless = (Missed, LabError, subprocess.TimeoutExpired) if len(names) > 1 else Missed
            if error is None:
                met.add(name)
            elif not isinstance(error, harmless):
                raise error
        return met

    def help(self, scene: Scene, watch: Watch) -> None:
        """Whoever has asked for rescue mode leaves it, where no deployment has promised to bring the host back."""
        if not scene.in_rescue or is_busy(self.host) or not self.host.alive:
            return
        after = [record["outcome"] for when, record in watch.recorded if when >= scene.rescue_asked]
        if set(after) <= {"committed", "refused", "superseded"}:
            with contextlib.suppress(LabError, subprocess.TimeoutExpired):
                scene.run("systemctl --no-block default", limit=20)
                scene.in_rescue = False

    def mend_logins(self, scene: Scene, watch: Watch) -> None:
        """Whoever has killed D-Bus starts logind anew, without which logins hang; an undo does that by itself."""
        after = [record["outcome"] for when, record in watch.recorded if when > scene.dbus_killed + 1]
        if scene.dbus_killed and not {"rolled-back", "superseded"} & set(after):
            with contextlib.suppress(LabError, subprocess.TimeoutExpired):
                scene.run("systemctl restart systemd-logind", limit=30)

    def reboot(self) -> None:
        """The host comes up in what it has promised."""
        host = self.host
        if self.choice.beginning:
            # What the boot loader names is needed, whatever the profile names.
            host.run(["nix-store", "--gc"], check=True, timeout=90)
        promised = loader(host)
        if (
            self.choice.configuration
            and version_of(promised) in (self.version(), self.version("again"))
            and not self.committed
        ):
            # Somebody else has made a system that does harm the boot default, and that was kept. They take it back.
            switch_by_hand(host, truth(host).live)
            promised = loader(host)
        soak_aftermath.comes_up(host, promised, self.choice.cut_power)
        self.abandoned = set()
        self.untested = not truth(host).is_one

    def next_deploy(self, version: str, configuration: str = "") -> None:
        """A deploy without a fault does what it is for, and leaves nothing at all."""
        before = self.output
        began = time.monotonic()
        with self.deploy(configuration, version, soak_choice.PLAYBOOK) as deployment:
            code = deployment.end(2 * self.soak.sum)
            self.soak.lengths[self.host.name] = time.monotonic() - began
            self.output = f"{before}\n--- the next deploy\n{deployment.output}"
        demand(code == 0, "the next deploy does not work")
        # An hour passes before a build is given up that a killed controller has left.
        at_rest(self.host, self.abandoned.__contains__, 20)
        runs_whole(self.host)
        now = truth(self.host)
        demand(now.is_one and version_of(now.live) == version, f"after the next deploy the host is {now}")
        demand(not is_open(self.host), "open.json is left")
        if self.choice.brings_secrets:
            secrets = soak_secrets.there(self.host)
            demand(set(secrets) == {version}, f"after the next deploy the secrets are {secrets}")
        self.untested = False

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
