# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The randomised test calls a half state by its name, and lets nothing pass but what nobody could help."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from integration import soak_aftermath
from integration.soak_aftermath import Aftermath, may_stay
from integration.soak_choice import BOOT_ONLY, CHECK, COMMIT_FAILED, COMMIT_FAILED_SAME, PLAYBOOK, Choice
from integration.soak_invariants import Broken
from integration.soak_scene import Moment, Scene
from integration.soak_truth import Change, Report, Truth
from integration.soak_watch import Watch

from lab import Host

OLD, NEW, OTHER = (
    f"/nix/store/{letter * 32}-nixos-system-host1-25.11.{version}"
    for letter, version in (("a", "6.next"), ("b", "7"), ("c", "7.theirs"))
)
BEFORE = Truth(OLD, OLD, OLD)
PLAIN = Choice("reboot", Moment("", 0), "", PLAYBOOK, "", "systemd-boot", False, False, Random(0))


@dataclass
class Case:
    """A host after a deploy, with nothing that has gone wrong yet."""

    now: Truth = BEFORE
    outcome: str = ""
    choice: Choice = PLAIN
    code: int = 1
    before: Truth = BEFORE
    live: str = OLD
    boot: str = OLD
    confirmed: set[str] = field(default_factory=set)
    boots: list[tuple[float, str]] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    rebooted: bool = False
    is_open: bool = False
    reports: list[Report] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def check(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """What is wrong with it."""
        systems = {"from": OLD, "from_boot": OLD, "to": NEW, "to_live": NEW, "live": self.live, "boot": self.boot}
        mode = "boot" if self.choice.way == BOOT_ONLY else "test"
        record: dict[str, Any] = {"id": "1-a", "outcome": self.outcome, "mode": mode, **systems}
        records = [record] if self.outcome else []
        watch = SimpleNamespace(
            wrong=self.wrong,
            boots=self.boots,
            confirmed=self.confirmed,
            recorded=[(10.0, one) for one in records],
            final=10.0,
            since=lambda _moment: [self.now],
        )
        scene = SimpleNamespace(
            host=SimpleNamespace(name="host1", root="/nowhere"),
            version="7",
            changed=self.changed,
            rebooted=self.rebooted,
            is_to_reboot=False,
            controller_ends=False,
            deployment=SimpleNamespace(reports=self.reports),
            others=[],
        )
        monkeypatch.setattr(soak_aftermath, "truth", lambda _host: self.now)
        monkeypatch.setattr(soak_aftermath, "is_open", lambda _host: self.is_open)
        aftermath = Aftermath(self.choice, cast(Scene, scene), cast(Watch, watch), self.before, records)
        try:
            aftermath.check(self.code, [])
        except Broken as error:
            return str(error)
        return ""


COMMITTED = Case(Truth(NEW, NEW, NEW), "committed", live=NEW, boot=NEW, code=0)
ROLLED_BACK = Case(BEFORE, "rolled-back")


@pytest.mark.parametrize(
    "case",
    [
        COMMITTED,
        replace(COMMITTED, code=2),
        ROLLED_BACK,
        Case(),
        Case(BEFORE, "refused"),
        # Confirmed, power lost when only the profile had moved: the next deploy finishes it.
        Case(Truth(OLD, NEW, OLD), confirmed={NEW}, boots=[(5, OLD)], rebooted=True, is_open=True, code=-9),
        Case(Truth(NEW, NEW, NEW), confirmed={NEW}, boots=[(5, NEW)], rebooted=True, is_open=True),
        Case(BEFORE, "interrupted", live=NEW, boots=[(11, OLD)], rebooted=True),
        # Somebody else.
        Case(Truth(OLD, OTHER, OTHER), "superseded", boot=OTHER, changed=[Change(1, 2, boot=OTHER)]),
        Case(
            Truth(OTHER, OTHER, OTHER), "committed", live=NEW, boot=NEW, code=0, changed=[Change(20, 21, OTHER, OTHER)]
        ),
        # Ways and beginnings.
        Case(Truth(OLD, NEW, NEW), "committed", replace(PLAIN, way=BOOT_ONLY), boot=NEW, code=0),
        Case(BEFORE, "", replace(PLAIN, way=CHECK), code=0),
        Case(
            Truth(OLD, OLD, OTHER),
            "rolled-back",
            replace(PLAIN, beginning=COMMIT_FAILED),
            before=Truth(OLD, OLD, OTHER),
        ),
        Case(BEFORE, "", replace(PLAIN, beginning=COMMIT_FAILED_SAME), before=Truth(OLD, OLD, OTHER), code=0),
    ],
)
def test_what_is_as_promised(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    assert case.check(monkeypatch) == ""


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (replace(COMMITTED, now=Truth(NEW, NEW, OLD)), "boot loader starts"),
        (replace(COMMITTED, now=BEFORE), "runs"),
        (replace(COMMITTED, live=OLD), "committed, and"),
        (replace(ROLLED_BACK, now=Truth(NEW, OLD, OLD)), "which has to be"),
        (replace(ROLLED_BACK, now=Truth(OLD, OLD, NEW)), "boot loader starts"),
        (replace(ROLLED_BACK, now=Truth(OLD, NEW, NEW)), "its profile names"),
        (replace(ROLLED_BACK, code=0), "said success"),
        (replace(ROLLED_BACK, wrong=["the boot default was NEW"]), "the boot default was NEW"),
        (Case(Truth(NEW, OLD, OLD)), "runs"),
        (Case(BEFORE, "rollback-failed"), "has ended as rollback-failed"),
        (Case(Truth(OLD, OLD, NEW), "commit-failed"), "has ended as commit-failed"),
        # Nobody had confirmed it.
        (Case(Truth(OLD, NEW, OLD), boots=[(5, OLD)], rebooted=True, is_open=True), "its profile names"),
        # Nothing waits to be repaired.
        (Case(Truth(OLD, NEW, OLD), confirmed={NEW}, boots=[(5, OLD)], rebooted=True), "its profile names"),
        (Case(BEFORE, "superseded"), "nobody else has switched"),
        # Theirs is not kept.
        (Case(BEFORE, "rolled-back", changed=[Change(1, 2, boot=OTHER)], before=BEFORE, boot=OTHER), "which has to be"),
        (Case(Truth(OLD, NEW, NEW), "committed", replace(PLAIN, way=CHECK), boot=NEW), "check mode has recorded"),
        (
            Case(Truth(OLD, OLD, OTHER), "", replace(PLAIN, beginning=COMMIT_FAILED_SAME), 0, Truth(OLD, OLD, OTHER)),
            "success",
        ),
        (replace(ROLLED_BACK, reports=[Report("host1", True, "committed", "1-a")]), "its record rolled-back"),
        (
            replace(COMMITTED, code=2, reports=[Report("host1", True, message="it runs its previous system again")]),
            "is not so",
        ),
    ],
)
def test_what_is_not_as_promised(case: Case, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert why in case.check(monkeypatch)


def test_what_another_host_is_said_to_be_is_not_looked_at_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert replace(ROLLED_BACK, reports=[Report("host2", True, "committed", "1-b")]).check(monkeypatch) == ""


def test_what_may_stay_until_the_next_deploy() -> None:
    def stays(line: str, booted: bool = False, **what: bool) -> bool:
        controller = SimpleNamespace(output="host1: UNREACHABLE!" if what.pop("unreachable", False) else "")
        flags = dict.fromkeys(("controller_killed", "controller_ends", "rebooted"), False) | what
        scene, watch = (
            SimpleNamespace(deployment=controller, **flags),
            SimpleNamespace(boots=[(1, OLD)] if booted else []),
        )
        return may_stay(cast(Scene, scene), cast(Watch, watch), line)

    assert stays("open.json", rebooted=True)
    assert stays("open.confirmed", booted=True)
    assert not stays("open.json", controller_killed=True)
    assert stays("deployment-1-a-new", rebooted=True)
    assert stays("0123456789abcdefghijklmnopqrstuv-source", controller_killed=True)
    assert stays("build-0123456789abcdef", unreachable=True)
    assert not stays("build-0123456789abcdef")
    assert not stays("deploy-flake.service", controller_killed=True, rebooted=True)


def test_the_fakes_have_what_the_real_ones_have() -> None:
    scene = set(Scene.__dataclass_fields__)
    assert {
        "host",
        "version",
        "changed",
        "rebooted",
        "is_to_reboot",
        "controller_ends",
        "deployment",
        "others",
    } <= scene
    watch = vars(Watch(cast(Host, SimpleNamespace(leader=None)))).keys() | vars(Watch).keys()
    assert {"wrong", "boots", "confirmed", "recorded", "final", "since"} <= watch
