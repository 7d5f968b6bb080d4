# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the randomised test holds against what a host is: records, results, sentences, and half states."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from integration.soak_truth import (
    Change,
    Report,
    Truth,
    Unreadable,
    broken_by,
    expected,
    false_sentences,
    fleet_report,
    lies,
    of_command,
    of_playbook,
    read_records,
    with_names,
)

OLD, NEW, OTHER = (f"/nix/store/{letter * 32}-nixos-system-host1-25.11.{number}" for number, letter in enumerate("abc"))
BEFORE = Truth(OLD, OLD, OLD)
AFTER = Truth(NEW, NEW, NEW)


def record(outcome: str, live: str = OLD, boot: str = OLD, **more: str) -> dict[str, Any]:
    """A deployment of NEW on a host that ran OLD."""
    systems = {"from": OLD, "from_boot": OLD, "to": NEW, "to_live": NEW, "live": live, "boot": boot}
    return {"id": "1-a", "outcome": outcome, "mode": "test", **systems, **more}


# Records


def line(**fields: str) -> str:
    return json.dumps({"id": "1-a", "outcome": "committed", **fields}, ensure_ascii=False)


def test_those_of_other_tests_are_read() -> None:
    assert [one["outcome"] for one in read_records(f"{line(outcome='until-reboot')}\n".encode())] == ["until-reboot"]


def test_records_are_read() -> None:
    # A program that takes it for the end of a line would see three.
    strange = line(id="2-b", why="bad: \u2028")
    data = f"{line()}\n{strange}\n".encode()
    assert [one["id"] for one in read_records(data)] == ["1-a", "2-b"]
    assert read_records(b"") == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (line().encode(), "cut off"),
        (b"\xff\n", "no UTF-8"),
        (b'{"id": "1", "why": "\x1b[31m"}\n', "control character"),
        ('{"id": "1", "why": "\u009b31m"}\n'.encode(), "control character"),
        (b'{"id": "1"\n', "no JSON"),
        (b"[]\n", "no record"),
        (b'{"id": "1", "outcome": "window"}\n', "no record"),
        (b"\n", "no JSON"),
        (f"{line()}\n{line()}\n".encode(), "twice"),
    ],
)
def test_a_record_that_is_not_whole_is_told_of(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read_records(data)


@pytest.mark.parametrize(
    ("told", "moved"),
    [
        (record("committed", NEW, NEW), ()),
        (record("committed", OLD, NEW, mode="boot"), ()),
        (record("committed", OTHER, NEW), (OTHER,)),
        (record("rolled-back"), ()),
        (record("refused"), ()),
        # Ended before anything was noted.
        (record("refused", OTHER, OTHER) | {"from": "", "from_boot": ""}, ()),
        (record("interrupted", NEW, OLD), ()),
        (record("superseded", OLD, OTHER), (OTHER,)),
        (record("superseded", OTHER, OTHER), (OTHER,)),
        (record("superseded", OLD, NEW), (NEW,)),
        # It was confirmed before they came.
        (record("superseded", NEW, OTHER, phase="commit-boot"), (OTHER,)),
    ],
)
def test_what_an_outcome_promises_holds(told: dict[str, Any], moved: tuple[str, ...]) -> None:
    assert broken_by(told, moved) == []


@pytest.mark.parametrize(
    ("told", "moved", "why"),
    [
        (record("until-reboot"), (), "nobody has asked for"),
        (record("committed", OLD, NEW), (), "committed, and .*a-nixos-system.* runs"),
        (record("committed", NEW, OLD), (), "boot default"),
        (record("rolled-back", NEW, OLD), (), "rolled-back, and .* runs"),
        (record("rolled-back", OLD, NEW), (), "boot default"),
        (record("refused", NEW, OLD), (), "refused, and"),
        (record("interrupted", OLD, NEW), (), "boot default"),
        (record("superseded"), (), "nobody else has switched"),
        (record("superseded", NEW, OTHER, phase="window"), (OTHER,), "which nobody else has made live"),
        (record("superseded", OTHER, NEW), (OTHER,), "which nobody else has made that"),
    ],
)
def test_what_an_outcome_promises_and_is_not_so(told: dict[str, Any], moved: tuple[str, ...], why: str) -> None:
    (said,) = broken_by(told, moved)
    assert re.search(why, said)


# Half states


def test_the_last_change_counts() -> None:
    changes = [
        Change(1, 2, NEW, NEW),
        Change(5, 6, live=OLD),
        Change(3, 4, OTHER, OTHER),
    ]
    assert expected(BEFORE, changes) == ({OLD}, {OTHER})
    assert expected(BEFORE, []) == ({OLD}, {OLD})


def test_of_two_changes_at_once_either_may_be_the_last() -> None:
    assert expected(BEFORE, [Change(1, 3, live=NEW), Change(2, 4, live=OTHER)]) == ({NEW, OTHER}, {OLD})


def test_a_change_that_has_perhaps_not_worked() -> None:
    assert expected(BEFORE, [Change(1, 2, boot=NEW, sure=False)]) == ({OLD}, {OLD, NEW})
    assert expected(BEFORE, [Change(1, 2, boot=NEW, sure=False), Change(3, 4, boot=OTHER)]) == ({OLD}, {OTHER})


# What a controller says

TESTED = {"state": "window", "system": NEW, "deployment": "1-a"}
BOOTED = {"state": "committed", "system": NEW, "deployment": "1-a", "boot_default": NEW}
BACK = {"msg": f"host1 has rolled back.\nIt runs {OLD}.", "state": "rolled-back", "deployment": "2-b"}
PLAYBOOK = f"""
TASK [deploy_flake.nixos.deploy : Deploy in one task] ****
changed: [host2] => {json.dumps({"changed": True, "build": {"toplevel": NEW}, "test": TESTED, "boot": BOOTED})}
[ERROR]: Task failed: host1 has rolled back
fatal: [host1]: FAILED! => {json.dumps(BACK)}
ok: [host1] => {{
    "msg": [
        "committed: none",
        "previous: host1, host3",
        "unknown: host2 (decides by itself by 2026-01-01T00:00:00+00:00)",
        "to complete: deploy again with --limit host1"
    ]
}}
fatal: [host3]: FAILED! => {{"cut o"""


def test_results_of_a_playbook() -> None:
    *steps, host1 = of_playbook(PLAYBOOK)
    assert steps[:2] == [
        Report("host2", False, "window", "1-a", NEW),
        Report("host2", False, "committed", "1-a", NEW, NEW),
    ]
    assert host1 == Report("host1", True, "rolled-back", "2-b", message=f"host1 has rolled back.\nIt runs {OLD}.")


def test_the_report_of_a_fleet() -> None:
    assert fleet_report(PLAYBOOK) == {"committed": [], "previous": ["host1", "host3"], "unknown": ["host2"]}
    assert fleet_report("nothing of the kind") == {}


def test_results_of_the_command() -> None:
    told = {
        "event": "result",
        "host": "host1",
        "outcome": "rolled-back",
        "state": "rolled-back",
        "system": OLD,
        "error": "e",
    }
    output = f'Warning: something\n{{"event": "started"}}\n{json.dumps(told)}\n{{"event": "res'
    assert of_command(output) == [Report("host1", True, "rolled-back", system=OLD, message="e")]
    assert not of_command(json.dumps({"event": "result", "host": "host1", "outcome": "deployed", "error": None}))[
        0
    ].failed


def test_what_is_so_is_no_lie() -> None:
    said = f"it runs its previous system again.\nIt runs {OLD} (the previous system) and would boot the same."
    report = Report("host1", True, "rolled-back", "1-a", OLD, OLD, said)
    assert lies(report, {"1-a": "rolled-back"}, [BEFORE], [BEFORE]) == []


@pytest.mark.parametrize(
    ("report", "now", "why"),
    [
        (Report("host1", True, "rolled-back", "1-a"), BEFORE, "its record committed"),
        (Report("host1", True, "rolled-back", "none"), BEFORE, "its record None"),
        (Report("host1", False, "committed", "1-a", NEW), BEFORE, "that it runs"),
        (Report("host1", False, "committed", "1-a", NEW, OLD), AFTER, "that it boots"),
        (Report("host1", False, "unchanged"), Truth(OLD, OLD, NEW), "nothing to do"),
        (Report("host1", True, message="it runs its previous system again"), AFTER, "runs its previous"),
        (Report("host1", True, message=f"It runs {NEW} (the new system) and would boot {OLD}."), AFTER, "would boot"),
    ],
)
def test_what_is_not_so_is_a_lie(report: Report, now: Truth, why: str) -> None:
    (said,) = lies(report, {"1-a": "committed"}, [BEFORE], [now])
    assert said.startswith("host1: ")
    assert why in said


def test_what_was_so_while_it_was_said_is_no_lie() -> None:
    report = Report("host1", False, "committed", "1-a", NEW, NEW)
    assert lies(report, {"1-a": "committed"}, [BEFORE], [AFTER, BEFORE]) == []


@pytest.mark.parametrize(
    ("sentence", "now", "holds"),
    [
        (f"It runs {NEW}.", AFTER, True),
        (f"It runs {NEW}.", BEFORE, False),
        (f"It runs {OLD} (the previous system) and would boot {NEW}.", Truth(OLD, NEW, NEW), True),
        (f"It runs {OLD} (the previous system) and would boot {NEW}.", Truth(OLD, NEW, OLD), False),
        ("It would boot the same.", Truth(OLD, OLD, NEW), False),
        (f"It runs {OLD} again, which it also boots.", Truth(OLD, OLD, NEW), False),
        ("host1 refused the new system; nothing was changed.", BEFORE, True),
        ("host1 refused the new system; nothing was changed.", Truth(OLD, OLD, NEW), False),
        ("host1 was shut down; it boots its previous system.", AFTER, False),
        ("It boots its previous system unless the deployment was confirmed", AFTER, True),
        ("the new system runs and is the boot default", BEFORE, False),
        (f"the boot loader starts {NEW}, and the system profile is {OLD}", Truth(OLD, OLD, NEW), True),
        (f"the boot loader starts {NEW}, and the system profile is {OLD}", AFTER, False),
    ],
)
def test_sentences(sentence: str, now: Truth, holds: bool) -> None:
    assert (false_sentences(sentence, [BEFORE], [now]) == []) == holds


def test_what_somebody_else_made_of_it_is_what_it_was_before() -> None:
    theirs = Truth(OLD, OTHER, OTHER)
    assert false_sentences("nothing was changed", [BEFORE, theirs], [theirs]) == []
    assert false_sentences("nothing was changed", [BEFORE], [theirs]) != []


def test_a_system_that_wraps_another_one_has_its_name() -> None:
    def name(system: str) -> str:
        return {OTHER: NEW}.get(system, system)

    wrapped = with_names(record("committed", NEW, OTHER) | {"to": OTHER}, name)
    assert (wrapped["boot"], wrapped["to"], wrapped["from"]) == (NEW, NEW, OLD)
    report = Report("host1", False, "committed", "1-a", NEW, OTHER, f"It runs {OTHER}.")
    assert lies(report, {"1-a": "committed"}, [BEFORE], [AFTER], name) == []
