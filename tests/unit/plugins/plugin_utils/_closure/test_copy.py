# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of a closure as the controller leads it: what becomes of one target is nothing to another."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from unit.closures import Source, Target, hosts, path, settings
from unit.fake_host import Asked, Scripted

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._closure import copy
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._closure.copy import Failures, copy_closure
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._closure.settings import ClosureSettings
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError, HostLostError

LIBC, BASH, WEB, DATABASE = map(path, "lbwd")
SIZES = {LIBC: 3000, BASH: 2000, WEB: 500, DATABASE: 700}
NEEDS = {WEB: [LIBC, BASH, WEB], DATABASE: [LIBC, BASH, DATABASE]}


def source() -> Source:
    return Source(SIZES, NEEDS)


def copied(end: Source, *targets: Target, forks: int = 5, **given: Any) -> tuple[dict[str, dict[str, Any]], Failures]:
    """What came of a copy."""
    given = {"source": "build1", "targets": [target.name for target in targets], "paths": [WEB]} | given
    return copy_closure(settings(**given), hosts(end, *targets), forks)


def test_each_gets_what_it_lacks_from_one_reading() -> None:
    web, database = Target("web1"), Target("db1", [LIBC])
    end = source()
    results, failures = copied(end, web, database, paths=[], paths_of={"web1": WEB, "db1": [DATABASE]})
    assert failures == {}
    # What is read, is read once.
    assert sorted(one for batch in end.sent for one in batch) == sorted(SIZES)
    assert sorted(web.has) == sorted([LIBC, BASH, WEB])
    assert sorted(database.has) == sorted([LIBC, BASH, DATABASE])
    assert (results["web1"]["copied"], results["web1"]["bytes"], results["web1"]["paths"]) == (3, 5500, 3)
    assert (results["db1"]["copied"], results["db1"]["bytes"], results["db1"]["changed"]) == (2, 2700, True)
    # Of all that is kept on each host, nothing is kept for the copy any more.
    assert {each.commands[-1] for each in (end, web, database)} == {"closure_end"}
    assert web.asked[-1].inputs["tops"] == WEB


def test_a_target_that_has_all_of_it_is_asked_once() -> None:
    target, end = Target("web1", [LIBC, BASH, WEB]), source()
    results, failures = copied(end, target)
    assert (failures, results["web1"]["changed"], results["web1"]["copied"]) == ({}, False, 0)
    assert target.commands == ["closure_begin"]
    assert end.commands == ["closure_ask", "closure_end"]


def test_too_small_a_disk_is_told_before_anything_is_sent() -> None:
    """Unless it is allowed; the other one gets all of it."""
    small, large, end = Target("small", free=1 << 10), Target("large"), source()
    results, failures = copied(end, small, large)
    error = failures.pop("small")
    assert failures == {}
    assert isinstance(error, HostError)
    assert error.reason == Refusal.NO_SPACE
    assert "small has 1 MiB free on /nix, and needs 16 MiB" in str(error)
    assert not any(asked.data for asked in small.asked)
    assert small.commands[-1] == "closure_end"
    assert small.asked[-1].inputs["tops"] == ""
    assert results["large"]["copied"] == 3
    assert copied(source(), Target("small", free=1 << 10), allow=["little_space"])[1] == {}


@pytest.mark.parametrize(("available", "swap", "warned"), [("2", "0", True), ("2", "1", False), ("3", "0", False)])
def test_too_little_memory_is_warned_of(available: str, swap: str, warned: bool) -> None:
    """The largest path that it lacks has 3 KiB."""
    end = Source({LIBC: 3 << 10, WEB: 1}, {WEB: [LIBC, WEB]})
    target = Target("small")
    target.instead["closure_put"] = [
        {"there": "yes", "missing": f"{LIBC}\n{WEB}", "free": "99999", "memory_available": available, "swap": swap}
    ]
    assert copied(end, target)[1] == {}
    assert any(f"to import {LIBC}" in line for line in target.warned) == warned


@pytest.mark.parametrize("reason", [Refusal.NO_SPACE, Refusal.NO_MEMORY, Refusal.NOT_IMPORTED])
def test_an_import_that_fails_stops_no_other(reason: Refusal) -> None:
    full, other, end = Target("full"), Target("other"), source()
    said = {"failed": "error: writing to file", "code": str(reason), "free": "2048"}
    full.instead["closure_put"] = [{"there": "yes", "missing": "\n".join(NEEDS[WEB]), "free": "99999"}, said]
    results, failures = copied(end, full, other)
    error = failures["full"]
    assert isinstance(error, HostError)
    assert error.reason == reason
    assert "error: writing to file" in str(error)
    assert list(failures) == ["full"]
    assert results["other"]["copied"] == 3
    assert full.commands[-1] == "closure_end"


def test_a_target_that_has_forgotten_the_copy_begins_again() -> None:
    """A killed unit, or a reboot; what has come by then is not sent again."""
    target, end = Target("web1", [LIBC]), source()
    target.instead["closure_put"] = [
        {"there": "yes", "missing": "\n".join([BASH, WEB]), "free": "99999"},
        {"gone": "yes"},
    ]
    results, failures = copied(end, target)
    assert failures == {}
    assert target.commands.count("closure_begin") == 2
    assert len({asked.inputs["id"] for asked in target.asked}) == 2
    assert results["web1"]["copied"] == 2
    assert any("begins again" in line for line in target.told)

    for_ever = Target("web2")
    for_ever.instead["closure_put"] = [{"gone": "yes"}] * 20
    failure = copied(source(), for_ever)[1]["web2"]
    assert isinstance(failure, HostError)
    assert failure.reason == Refusal.KILLED
    assert for_ever.commands.count("closure_begin") == 3


def test_a_source_that_has_forgotten_it_begins_again_too() -> None:
    target, end = Target("web1"), source()
    end.instead["closure_take"] = [{"gone": "yes"}]
    results, failures = copied(end, target)
    assert failures == {}
    assert results["web1"]["copied"] == 3
    assert end.commands.count("closure_ask") == 2


def test_a_source_that_fails_fails_all() -> None:
    first, second, end = Target("web1"), Target("web2"), source()
    end.instead["closure_take"] = [{"failed": "error: path is corrupt"}]
    _results, failures = copied(end, first, second)
    assert {getattr(error, "reason", "") for error in failures.values()} == {Refusal.NOT_EXPORTED}
    assert "build1 could not read it: error: path is corrupt" in str(failures["web1"])
    assert first.commands[-1] == second.commands[-1] == "closure_end"


def test_nobody_can_reach_the_source() -> None:
    target, end = Target("web1"), source()
    end.instead["closure_ask"] = [AnsibleConnectionFailure("No route to host")]
    error = copied(end, target)[1]["web1"]
    assert isinstance(error, HostError)
    assert "build1, which has the closure, cannot be reached" in str(error)
    assert (end.commands, target.commands) == (["closure_ask"], [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"paths": f"{WEB}\n--option", "sizes": "1\n2"},
        {"paths": f"{WEB}\n{LIBC}/bin", "sizes": "1\n2"},
        {"paths": f"{WEB}\n/etc/../{LIBC}", "sizes": "1\n2"},
        {"paths": f"{WEB}\n{LIBC}", "sizes": "1\n-2"},
        {"paths": f"{WEB}\n{LIBC}", "sizes": "1\n\N{SUPERSCRIPT TWO}"},
        {"paths": f"{WEB}\n{LIBC}", "sizes": "1\n2", "group": "7"},
        {"paths": f"{WEB}\n{LIBC}", "sizes": "1\n2", "group": "-1"},
    ],
)
def test_a_source_that_names_something_else(wrong: dict[str, str]) -> None:
    """What it says goes on to the targets, which need not trust it."""
    target, end = Target("web1"), source()
    end.instead["closure_ask"] = [{"group": "0", **wrong}]
    error = copied(end, target)[1]["web1"]
    assert isinstance(error, HostError)
    assert error.reason == Refusal.NO_ANSWER
    assert target.commands == []


@pytest.mark.parametrize("compress", [True, False])
def test_what_was_not_signed_is_sent_to_nobody(compress: bool) -> None:
    first, second, end = Target("web1"), Target("web2", [LIBC]), source()
    _results, failures = copied(end, first, second, check_signatures=True, compress=compress)
    assert {getattr(error, "reason", "") for error in failures.values()} == {Refusal.NOT_SIGNED}
    assert len(failures) == 2
    for target in (first, second):
        assert "closure_trust" in target.commands
        # What is no whole number yet can be anything.
        assert sum(len(asked.data) for asked in target.asked if asked.command == "closure_put") < 8
        assert target.batches == 0


class Slow(Target):
    """Takes no piece before something has happened."""

    def __init__(self, name: str, happens: Callable[[], bool]) -> None:
        super().__init__(name)
        self._happens = happens

    def answer(self, asked: Asked) -> Scripted:
        ends = time.monotonic() + 20
        while asked.data and not self._happens():
            assert time.monotonic() < ends, "nobody is ahead of it"
            time.sleep(0.01)
        return super().answer(asked)


def test_a_slow_target_may_be_some_pieces_behind() -> None:
    """The others need not wait for it after each of them."""
    sizes = {path(name): 40 << 20 for name in "abcdfg"}
    *needed, top = sizes
    quick = Target("web1", free=1 << 30)
    slow = Slow("web2", lambda: len([asked for asked in quick.asked if asked.data]) >= 4)
    slow._free = 1 << 30
    results, failures = copied(Source(sizes, {top: [*needed, top]}), quick, slow, paths=[top])
    assert failures == {}
    assert [each["copied"] for each in results.values()] == [6, 6]


class Hanging(Target):
    """Its shell does nothing once it is given a piece."""

    def answer(self, asked: Asked) -> Scripted:
        if asked.data:
            Event().wait(30)
        return super().answer(asked)


def test_a_target_that_hangs_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a connection that is well; the others get all of it, in the time that it has."""
    monkeypatch.setattr(copy._Round, "_limit", 1)
    hangs, well = Hanging("web1"), Target("web2")
    began = time.monotonic()
    results, failures = copied(source(), hangs, well)
    assert time.monotonic() - began < 10
    assert isinstance(error := failures.pop("web1"), HostError)
    assert (error.reason, "web1 has not taken a piece in time" in str(error), failures) == (Refusal.TOO_SLOW, True, {})
    assert results["web2"]["copied"] == 3


def test_no_more_targets_at_a_time_than_forks() -> None:
    """Which read the source together."""
    targets = [Target(f"web{number}") for number in range(5)]
    end = source()
    results, failures = copied(end, *targets, forks=2)
    assert failures == {}
    assert [each["copied"] for each in results.values()] == [3] * 5
    assert (end.commands.count("closure_ask"), end.commands.count("closure_send")) == (3, 3)


def test_what_is_wrong_with_one_target_is_nothing_to_the_others() -> None:
    """Be it a mistake of ours, or variables with which nobody can connect."""
    broken, well = Target("web1"), Target("web2")
    broken.instead["closure_put"] = [ZeroDivisionError("by zero")]
    results, failures = copied(source(), broken, well)
    assert results["web2"]["copied"] == 3
    assert isinstance(error := failures.pop("web1"), HostError)
    assert (str(error), failures) == ("web1 could not be given the closure: ZeroDivisionError: by zero", {})

    def host_of(name: str) -> Any:
        if name == "web1":
            raise AnsibleError("'nobody' is undefined")
        return hosts(source(), well)(name)

    given = settings(source="build1", targets=["web1", "web2"], paths=[DATABASE])
    results, failures = copy_closure(given, host_of)
    assert (str(failures.pop("web1")), failures) == ("'nobody' is undefined", {})
    assert results["web2"]["copied"] == 1


def test_a_piece_that_is_none() -> None:
    end = source()
    end.instead["closure_take"] = [{"piece": "x", "last": "yes"}]
    error = copied(end, Target("web1"))[1]["web1"]
    assert isinstance(error, HostError)
    assert error.reason == Refusal.NO_ANSWER


def test_what_a_target_fetches_itself_needs_no_signature_of_ours() -> None:
    target = Target("web1")
    target.instead["closure_put"] = [{"there": "yes", "missing": "", "free": "99999"}]
    assert copied(source(), target, check_signatures=True, substitute=True)[1] == {}
    assert "closure_trust" not in target.commands


def test_a_target_that_lacks_what_is_not_in_the_closure() -> None:
    target = Target("web1")
    target.instead["closure_put"] = [{"there": "yes", "missing": DATABASE, "free": "99999"}]
    error = copied(source(), target)[1]["web1"]
    assert isinstance(error, HostError)
    assert error.reason == Refusal.NO_ANSWER


def test_a_lost_piece_is_sent_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a host that does not come back has failed."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    target, end = Target("web1"), source()
    target.instead["closure_put"] = [
        {"there": "yes", "missing": "\n".join([LIBC, BASH, WEB]), "free": "99999"},
        AnsibleConnectionFailure("ssh exited 255"),
    ]
    assert copied(end, target)[1] == {}
    assert target.resets == 1

    lost = Target("web2")
    lost.instead["closure_put"] = [AnsibleConnectionFailure("ssh exited 255")] * 99
    error = copied(source(), lost, reconnect_timeout=0)[1]["web2"]
    assert isinstance(error, HostLostError)


def test_a_host_that_takes_nothing_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a connection that is well."""
    clock = iter(range(0, 100_000, 50))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    stuck = Target("web1")
    stuck.instead["closure_put"] = [{"there": "yes", "missing": WEB, "free": "99999"}, *({} for _again in range(99))]
    error = copied(source(), stuck, copy_timeout=200)[1]["web1"]
    assert isinstance(error, HostError)
    assert error.reason == Refusal.TOO_SLOW


def test_substituters_are_asked_first() -> None:
    target, end = Target("web1"), source()

    def begins(asked: Any) -> Any:
        target.has += [LIBC, BASH]
        return {"lacking": "3", "free": "99999"}

    answer = target.answer
    target.answer = lambda asked: begins(asked) if asked.command == "closure_begin" else answer(asked)  # type: ignore[method-assign]
    target._wanted = [LIBC, BASH, WEB]
    results, failures = copied(end, target, substitute=True)
    assert failures == {}
    assert (results["web1"]["substituted"], results["web1"]["copied"]) == (2, 1)
    assert target.asked[0].inputs["substitute"] == "yes"


def test_no_targets_are_nobody() -> None:
    """As a template gives them that came out empty; it is not the task's host."""
    assert settings(source="build1", targets=[], paths=[WEB]).wanted == {}


def test_the_source_among_the_targets_needs_nothing() -> None:
    given = settings(source="build1", targets=["build1", "web1"], paths=[WEB])
    assert given.wanted == {"web1": (WEB,)}
    assert copy_closure(settings(source="build1", targets=["build1"], paths=[WEB]), hosts()) == ({}, {})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, Refusal.BAD_OPTION),
        ({"paths": ["/etc/passwd"]}, Refusal.NOT_A_STORE_PATH),
        # Also where nobody gets it.
        ({"paths": ["hello"], "targets": ["build1"]}, Refusal.NOT_A_STORE_PATH),
        ({"paths_of": {"web1": 5}}, Refusal.BAD_OPTION),
        ({"paths_of": {"web1": {"a": WEB}}}, Refusal.BAD_OPTION),
        ({"paths_of": {"web1": [5]}}, Refusal.NOT_A_STORE_PATH),
        ({"paths": [f"{WEB}.drv --option"]}, Refusal.NOT_A_STORE_PATH),
        ({"paths_of": {"web1": f"{WEB}; reboot"}}, Refusal.NOT_A_STORE_PATH),
    ],
)
def test_options_that_cannot_be_meant(given: dict[str, Any], reason: Refusal) -> None:
    with pytest.raises(HostError) as refused:
        settings(source="build1", **given)
    assert refused.value.reason == reason


@pytest.mark.parametrize("given", [{"paths": [WEB]}, {"paths_of": {"web1": WEB}}])
def test_a_source_that_was_forgotten(given: dict[str, Any]) -> None:
    """The only target is the task's host, and so is the source."""
    with pytest.raises(HostError, match=r"web1 is source and target; give .* as 'source'") as refused:
        settings("web1", **given)
    assert refused.value.reason == Refusal.BAD_OPTION
    # As a group that has nobody else in it.
    assert settings("web1", **given, targets=["web1"]).wanted == {}


def test_the_tasks_host_is_the_target_or_the_source() -> None:
    of = {
        "targets": settings("web1", source="build1", paths=[WEB]),
        "source": settings("build1", targets=["web1"], paths=[WEB]),
    }
    assert {name: (each.source, list(each.wanted)) for name, each in of.items()} == {
        "targets": ("build1", ["web1"]),
        "source": ("build1", ["web1"]),
    }
    assert isinstance(of["source"], ClosureSettings)
