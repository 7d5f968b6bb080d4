# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A removal of generations on a host that plays what the commands `info` and `prune` would answer."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.actions import options_of
from unit.fake_host import FakeHost

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal, RemovalResult
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join, program
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._removal import removal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._removal.removal import (
    RemovalSettings,
    remove_generations,
)

DAY = 86400
INFO: dict[str, Any] = {
    "root": "0",
    "now": str(100 * DAY),
    "current": "/nix/store/3",
    "booted": "/nix/store/3",
    "boot_default": "/nix/store/3",
    "generation": "3",
    "generation_of": [f"{number} {(96 + number) * DAY}\n/nix/store/{number}\n6.12\n25.11" for number in (1, 2, 3)],
    "free_space_nix": "/nix 1024 4096",
    "free_space_boot": "/boot 10 20",
}
ENDED: dict[str, Any] = {
    "result": "ok",
    "removed": ["1", "2"],
    "boot_written": "yes",
    "free_space_nix": "/nix 2048 4096",
    "free_space_boot": "/boot",
}
OVER = {"end": "yes"}
COLLECTED = {
    "garbage": "0 1000 3048",
    "garbage_log": "deleting '/nix/store/x'\n12 store paths deleted, 3.50 MiB freed\n",
}


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


def settings(**given: Any) -> RemovalSettings:
    return RemovalSettings.from_options(options_of("system_generations", **given))


def removed(host: FakeHost, check_mode: bool = False, **given: Any) -> dict[str, Any]:
    return remove_generations(host, settings(**given), check_mode)


def numbers(found: list[dict[str, Any]]) -> list[int]:
    return [one["generation"] for one in found]


def test_all_goes_well() -> None:
    host = FakeHost([INFO, ENDED, OVER])
    result = removed(host, keep=1, boot_timeout=50)
    assert numbers(result["removed"]) == [1, 2]
    assert result["kept"] == [{"generation": 3, "why": ["boot default", "newest"]}]
    assert (result["changed"], result["boot_entries_written"], result["garbage"]) == (True, True, None)
    assert result["free_space_before"]["boot"] == {"path": "/boot", "free_bytes": 10240, "total_bytes": 20480}
    assert result["free_space"] == {
        "nix": {"path": "/nix", "free_bytes": 2048 * 1024, "total_bytes": 4096 * 1024},
        "boot": None,
    }
    assert "failed" not in result
    info, begin, tidy = host.asked
    assert (info.command, begin.command, tidy.command) == ("info", "prune", "prune")
    assert info.inputs == {"deployments": "0", "revisions": "no"}
    assert "wanted='1 /nix/store/1\n2 /nix/store/2'" in begin.inputs["values"]
    assert "boot_limit=50" in begin.inputs["values"] and "collect=no" in begin.inputs["values"]
    assert (begin.inputs["runtime_limit"], begin.inputs["patience"], begin.limit) == ("320", "8", 128)
    assert [asked.inputs["over"] for asked in (begin, tidy)] == ["no", "yes"]
    assert begin.inputs["id"] == tidy.inputs["id"]
    assert host.told == [
        "removes generations 1, 2; keeps 3 (boot default, newest)",
        "there are 2.0 MiB on /nix free now",
    ]


def test_garbage_is_collected() -> None:
    host = FakeHost([INFO, ENDED | COLLECTED | {"removed": []} | {"boot_written": ""}, OVER])
    result = removed(host, collect_garbage=True, garbage_timeout=60)
    assert result["garbage"] == {"paths": 12, "freed_bytes": 3670016, "measured_bytes": 2 << 20, "status": 0}
    assert (result["changed"], result["removed"]) == (True, [])
    assert "collect=yes" in host.asked[1].inputs["values"] and "garbage_limit=60" in host.asked[1].inputs["values"]
    assert host.told == ["freed 3.5 MiB in 12 store paths; there are 2.0 MiB on /nix free now"]


def test_nothing_to_collect_is_no_change() -> None:
    nothing = {"garbage": "0 1000 1000", "garbage_log": "0 store paths deleted, 0.00 MiB freed\n"}
    ended = ENDED | nothing | {"removed": [], "boot_written": ""}
    assert removed(FakeHost([INFO, ended, OVER]), collect_garbage=True)["changed"] is False


def test_nothing_to_do_asks_nothing_of_the_host() -> None:
    host = FakeHost([INFO])
    result = removed(host, keep=3)
    assert (result["changed"], result["removed"], host.told) == (False, [], [])
    assert numbers(result["kept"]) == [1, 2, 3]


def test_check_mode_tells_and_does_nothing() -> None:
    host = FakeHost([INFO])
    result = removed(host, check_mode=True, keep=2, collect_garbage=True)
    assert (result["changed"], numbers(result["removed"])) == (True, [1])
    assert (result["boot_entries_written"], result["garbage"]) == (False, None)
    assert host.told == ["would remove generations 1; keeps 2 (newest), 3 (boot default, newest)"]


def test_an_interrupted_removal_is_finished() -> None:
    host = FakeHost([INFO | {"unfinished_removal": "yes"}, ENDED | {"removed": []}, OVER])
    result = removed(host, keep=3)
    assert (result["changed"], result["boot_entries_written"], result["removed"]) == (True, True, [])


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({}, {3: ["boot default"]}),
        ({"current": "/nix/store/1"}, {1: ["current"], 3: ["boot default"]}),
        ({"booted": "/nix/store/2"}, {2: ["booted"], 3: ["boot default"]}),
        ({"open_system": ["", "/nix/store/1"]}, {1: ["open deployment"], 3: ["boot default"]}),
        ({"trial": "/nix/store/2", "trial_in_progress": "yes"}, {2: ["trial"], 3: ["boot default"]}),
        ({"trial": "/nix/store/2", "trial_outcome": "it failed"}, {3: ["boot default"]}),
    ],
)
def test_what_is_needed_stays(more: dict[str, Any], kept: dict[int, list[str]]) -> None:
    result = removed(FakeHost([INFO | more]), check_mode=True, keep=0)
    assert {one["generation"]: one["why"] for one in result["kept"]} == kept


def test_age_is_by_the_hosts_own_clock() -> None:
    assert numbers(removed(FakeHost([INFO]), check_mode=True, keep_days=2)["removed"]) == [1, 2]
    assert numbers(removed(FakeHost([INFO]), check_mode=True, keep_days=3)["removed"]) == [1]


def test_what_came_to_be_needed_meanwhile_is_kept() -> None:
    host = FakeHost([INFO, ENDED | {"removed": ["2"]}, OVER])
    assert numbers(removed(host, keep=1)["removed"]) == [2]
    assert host.warned == ["generations that have come to be needed meanwhile were kept: 1"]


@pytest.mark.parametrize(
    ("ended", "reason", "words"),
    [
        ({"result": "boot-failed 1", "removed": [], "boot_written": "", "log": "a\n\nno space on /boot"},
         Refusal.BOOT_FAILED, "boot ended with 1), so all generations are there again"),
        ({"result": "killed"}, Refusal.KILLED, "was ended by somebody before it was done"),
        ({"result": "no-profile", "removed": []}, Refusal.NO_PROFILE, "there is no system profile"),
        ({"result": "no-garbage-unit", "log": "systemd said no\n"}, Refusal.NO_GARBAGE_UNIT,
         "no garbage could be collected: systemd said no"),
        (COLLECTED | {"garbage": "1 5 5", "garbage_log": "error: x\n"}, Refusal.GARBAGE,
         "--gc' ended with 1: error: x"),
        (COLLECTED | {"garbage": "124 5 5"}, Refusal.GARBAGE, "--gc' did not end in time"),
        (COLLECTED | {"garbage": "137 5 5"}, Refusal.GARBAGE, "--gc' was killed (status 137; out of memory?)"),
        # What nobody knows is no success.
        ({"result": "something else"}, Refusal.KILLED, "ended by somebody"),
    ],
)  # fmt: skip
def test_what_goes_wrong(ended: dict[str, Any], reason: Refusal, words: str) -> None:
    host = FakeHost([INFO, ENDED | ended, OVER])
    result = removed(host, keep=1, collect_garbage=True)
    assert (result["failed"], result["reason"]) == (True, reason)
    assert result["msg"].startswith("host1: ")
    assert words in result["msg"]
    # What was done is returned all the same, and nothing more is told or warned of.
    assert numbers(result["removed"]) == [int(number) for number in (ENDED | ended)["removed"]]
    assert (len(host.told), host.warned) == (1, [])


def test_what_the_boot_loader_said() -> None:
    log = "\n".join(f"line {number}\n" for number in range(12))
    ended = ENDED | {"result": "boot-failed 1", "removed": [], "log": log}
    message = removed(FakeHost([INFO, ended, OVER]), keep=1)["msg"]
    assert message.splitlines()[1:] == ["Its last lines:", *(f"  line {number}" for number in range(2, 12))]
    assert "Its last lines" not in removed(FakeHost([INFO, ended | {"log": ""}, OVER]), keep=1)["msg"]


def test_it_waits_while_the_host_is_busy() -> None:
    busy = {"result": "busy nixos-upgrade.service"}
    refused = {"refused": "busy", "message": "is busy with something else"}
    host = FakeHost([INFO, busy, OVER, refused, ENDED, OVER])
    assert removed(host, keep=1)["changed"] is True
    # Each attempt is one of its own.
    ids = [asked.inputs["id"] for asked in host.asked[1:]]
    assert len(set(ids)) == 3
    assert "is being switched by nixos-upgrade.service" in host.told[1]


def test_it_does_not_wait_longer_than_it_was_told() -> None:
    host = FakeHost([INFO, {"result": "busy nixos-upgrade.service"}, OVER])
    with pytest.raises(HostError) as error:
        removed(host, keep=1, lock_timeout=0)
    assert error.value.reason == Refusal.BUSY


@pytest.mark.parametrize(
    ("given", "limit"), [({"keep": 1}, 720), ({"keep": 1, "collect_garbage": True, "garbage_timeout": 1000}, 1840)]
)
def test_one_that_takes_too_long(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], limit: int) -> None:
    now = iter([0.0, float(limit), limit + 0.1])
    monkeypatch.setattr(removal, "time", SimpleNamespace(monotonic=lambda: next(now)))
    host = FakeHost([INFO, {}, {}])
    with pytest.raises(HostError, match="it goes on by itself") as error:
        removed(host, **given)
    assert error.value.reason == Refusal.TOO_SLOW
    # Nothing is tidied up that still runs.
    assert [asked.inputs.get("over") for asked in host.asked] == [None, "no", "no"]


def test_a_lost_connection_finds_it_again() -> None:
    host = FakeHost([INFO, AnsibleConnectionFailure("x"), {}, ENDED, OVER])
    assert removed(host, keep=1)["changed"] is True
    assert len({asked.inputs["id"] for asked in host.asked[1:]}) == 1


def test_no_answer_while_it_goes_on() -> None:
    no_answer = HostError("no answer", Refusal.NO_ANSWER)
    host = FakeHost([INFO, {}, no_answer, ENDED, no_answer, OVER])
    assert removed(host, keep=1)["changed"] is True
    # Nothing had begun.
    with pytest.raises(HostError, match="no answer"):
        removed(FakeHost([INFO, no_answer]), keep=1)


def test_without_root() -> None:
    with pytest.raises(HostError) as error:
        removed(FakeHost([INFO | {"root": "1000"}]), keep=1)
    assert error.value.reason == Refusal.NOT_ROOT


@pytest.mark.parametrize("given", [{"keep": -1}, {"keep_days": -1}, {"keep": 1, "keep_days": -1}])
def test_options_that_ask_for_nonsense(given: dict[str, Any]) -> None:
    with pytest.raises(HostError, match="nothing was done") as error:
        settings(**given)
    assert error.value.reason == Refusal.BAD_OPTION


def test_zero_is_a_number() -> None:
    assert (settings(keep=0).keep, settings(keep_days=0).keep_days, settings(collect_garbage=True).keep) == (0, 0, None)


def test_the_scripts_and_the_controller_know_the_same_ends() -> None:
    text = program("prune") + join("command/prune")
    words = set(re.findall(r'(?:end_with|answer result) "?([a-z-]+)', text))
    assert words == set(RemovalResult)
