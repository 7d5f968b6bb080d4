# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold when a deploy with a fault is over, and when the host has booted after it."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from integration import faulting, soak_secrets
from integration.soak_choice import BOOT_ONLY, CHECK, COMMIT_FAILED_SAME, SPECIALISATION, Choice
from integration.soak_faults import UNAVOIDABLE
from integration.soak_invariants import HARMLESS, Broken, answers, demand, is_open, runs_whole, version_of
from integration.soak_scene import Scene, loader, name_of, truth
from integration.soak_truth import Change, Truth, broken_by, expected, lies, with_names
from integration.soak_watch import Watch

from lab import Host
from lab.shell import LabError

# How long before its line a deployment may have looked at the host for the last time.
BEFORE_ITS_LINE = 2.0


class Aftermath:
    """One host after the deploy with the fault: what its records, the controllers and the host itself say."""

    def __init__(
        self, choice: Choice, scene: Scene, watch: Watch, before: Truth, records: Sequence[Mapping[str, Any]]
    ) -> None:
        self.choice = choice
        self.scene = scene
        self.host = scene.host
        self.watch = watch
        self.before = before
        self.records = [with_names(record, self.name) for record in records]
        self.theirs = [
            replace(one, live=one.live and self.name(one.live), boot=one.boot and self.name(one.boot))
            for one in scene.changed
        ]
        self.now = truth(scene.host)
        self.remark = ""
        self.mine = [record for record in self.records if version_of(record["to"]) == scene.version]

    def name(self, system: str) -> str:
        """What a system is called in the end."""
        return name_of(self.host, system)

    @property
    def outcome(self) -> str:
        """What became of the system that was deployed."""
        outcomes = [record["outcome"] for record in self.mine]
        if "committed" in outcomes:
            return "committed"
        return "superseded" if "superseded" in outcomes else "previous"

    @property
    def rebooted(self) -> bool:
        """Whether the host has booted meanwhile, be it by the fault or as its own last resort."""
        return self.scene.rebooted or bool(self.watch.boots)

    @property
    def moved(self) -> set[str]:
        """The systems that somebody else has put somewhere."""
        return {system for change in self.theirs for system in (change.live, change.boot) if system}

    def check(self, code: int, others: Sequence[int]) -> None:
        """All that must hold; `code` is what the controller has ended with, and `others` the others beside it."""
        wrong = [*self.watch.wrong, *self.bad_outcomes(), *self.half_states(), *self.lies()]
        for record in self.records:
            wrong += broken_by(record, self.moved)
        wrong += self.false_success(code)
        for other, status in zip(self.scene.others, others, strict=True):
            if status == 0 and other.kind == "deploy":
                outcomes = [one["outcome"] for one in self.records if version_of(one["to"]) == other.version]
                wrong += [f"another controller said success, and it is {outcomes}"] if outcomes != ["committed"] else []
        demand(not wrong, "; ".join(wrong))
        if code > 0 and self.outcome == "committed":
            self.remark += ", though the controller failed"
        if self.watch.boots and not (self.scene.rebooted or self.scene.is_to_reboot):
            self.remark += ", rebooted by itself"
        if any(status > 0 for status in others):
            self.remark += ", another controller failed"

    def check_secrets(self, before: list[str], version: str) -> None:
        """They are those of the system that was deployed where it was committed, and else those of before."""
        versions = {version} if self.outcome == "committed" else {""}
        if self.outcome == "superseded" or (self.rebooted and is_open(self.host)):
            versions = {version, ""}
        wrong = soak_secrets.wrong(before, soak_secrets.there(self.host), versions, self.rebooted)
        demand(not wrong, "; ".join(wrong))

    def bad_outcomes(self) -> list[str]:
        """Deployments that ended so that somebody has to come, though nothing has made that unavoidable."""
        met = {self.choice.fault, self.choice.second, self.choice.configuration}
        bad = [record for record in self.records if record["outcome"] not in HARMLESS]
        return [
            f"{record['id']} has ended as {record['outcome']}: {record.get('why')}"
            for record in bad
            if not any((name, record["outcome"]) in UNAVOIDABLE for name in met)
        ]

    def half_states(self) -> list[str]:
        """What runs, what boots and what the boot loader starts: as the records and others' acts have left it."""
        now, choice = self.now, self.choice
        recorded = [
            Change(when - BEFORE_ITS_LINE, when, record.get("live"), record.get("boot"))
            for when, record in self.watch.recorded
        ]
        booted = [Change(when, when, live=named) for when, named in self.watch.boots]
        live, boot = expected(self.before, [*recorded, *self.theirs, *booted])
        unfinished = self.rebooted and is_open(self.host)
        if unfinished:
            # Down between confirmation and end: the next deployment finishes it.
            live |= self.watch.confirmed | {now.loader}
            boot |= self.watch.confirmed
        loaders = boot if unfinished else {now.profile}
        if choice.beginning and self.outcome != "committed":
            # Of the two, the boot loader still names what it named.
            loaders = loaders | {self.before.loader}
            live = live | ({self.before.loader} if self.rebooted else set())
        wrong = []
        if now.live not in live:
            wrong.append(f"runs {now.live}, which has to be {' or '.join(sorted(live))}")
        if now.profile not in boot:
            wrong.append(f"its profile names {now.profile}, which has to be {' or '.join(sorted(boot))}")
        if now.loader not in loaders:
            wrong.append(f"its boot loader starts {now.loader}, which has to be {' or '.join(sorted(loaders))}")
        whole = not (unfinished or choice.beginning or self.theirs or choice.way in (BOOT_ONLY, SPECIALISATION))
        if whole and not now.is_one:
            wrong.append(f"runs, would boot and boots different things: {now}")
        return wrong

    def false_success(self, code: int) -> list[str]:
        """Whether the controller has said success of what is none."""
        mine = [record["outcome"] for record in self.mine]
        if self.choice.way == CHECK:
            return [f"check mode has recorded {mine}"] if mine else []
        if self.scene.controller_ends or code != 0 or mine == ["committed"]:
            return []
        if self.choice.beginning == COMMIT_FAILED_SAME and not mine:
            return [] if self.now.is_one else [f"success without a deployment, and the host is {self.now}"]
        return [f"the controller said success, and it is {mine}"]

    def lies(self) -> list[str]:
        """What the controllers have said and is not so."""
        outcomes = {record["id"]: record["outcome"] for record in self.records}
        came = {record["id"]: when for when, record in self.watch.recorded}
        # What somebody else has made of the host counts as what it was before, too.
        before = [self.before]
        for change in self.theirs:
            before += [
                replace(
                    one,
                    live=change.live or one.live,
                    profile=change.boot or one.profile,
                    loader=change.boot or one.loader,
                )
                for one in list(before)
            ]
        # Not every report names its deployment; and others may have come after it.
        own = [came[record["id"]] for record in self.mine if record["id"] in came]
        mine = min(own, default=0 if self.scene.others else self.watch.final)
        wrong = []
        for controller in (self.scene.deployment, *self.scene.others):
            for report in controller.reports:
                if report.host != self.host.name:
                    continue
                since = came.get(report.deployment, 0 if controller in self.scene.others else mine)
                wrong += lies(report, outcomes, before, self.watch.since(since - BEFORE_ITS_LINE), self.name)
        return wrong


def may_stay(scene: Scene, watch: Watch, line: str) -> bool:
    """What only the next deploy can take away: after a power loss, and when nobody is there who could."""
    rebooted = scene.rebooted or bool(watch.boots)
    if rebooted and (
        soak_secrets.may_stay(line) or re.fullmatch(r"open\.(json(\.new)?|confirmed|last-resort)|deployment-.*", line)
    ):
        return True
    # A flake or system that was copied or built for a controller which is gone or got no answer, and that build's log.
    abandoned = r"[a-z0-9]{32}-.*|build-[0-9a-f]{16}"
    unreachable = "UNREACHABLE!" in scene.deployment.output or '"unreachable"' in scene.deployment.output
    gone = scene.controller_killed or scene.controller_ends or rebooted or unreachable
    return gone and bool(re.fullmatch(abandoned, line))


def nothing_lives_on(scene: Scene) -> None:
    """A controller that was killed or told to end leaves no ansible-playbook that goes on for ever."""
    try:
        faulting.wait_for(lambda: not scene.deployment.playbooks, 90, 0.5)
    except AssertionError:
        raise Broken("the controller is gone, and its ansible-playbook goes on") from None


def comes_up(host: Host, promised: str, cut_power: bool, limit: float = 120) -> None:
    """Reboot it, or cut its power: it runs what it has promised, is well, and can be reached."""
    before = host.leader
    if cut_power:
        host.power_off()
        host.power_on(wait=False)
    else:
        # Not by way of logind, which does not answer any more where D-Bus was killed.
        script = "systemctl --no-block start reboot.target --job-mode=replace-irreversibly"
        with contextlib.suppress(LabError, subprocess.TimeoutExpired):
            host.run(script, timeout=20)
        try:
            faulting.wait_for(lambda: host.leader not in (before, None), limit, 0.05)
        except AssertionError:
            raise Broken(f"does not reboot within {limit} s") from None
    answers(host, limit)
    now = runs_whole(host, limit=limit)
    demand(now.live == now.booted == promised, f"has booted {now.booted} and runs {now.live}, not {promised}")
    demand(loader(host) == promised, f"after the boot, the boot loader names {loader(host)}, not {promised}")


def generations(host: Host) -> list[str]:
    """The systems of the host's generations."""
    links = (host.root / "nix/var/nix/profiles").glob("system-*-link")
    return [str(link.readlink()) for link in links]
