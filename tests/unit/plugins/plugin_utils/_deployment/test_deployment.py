# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment that is asked how it does, and followed to its end; what it returns."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from unit.fake_host import FakeHost, answered
from unit.settings import NEW, OLD

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import FINAL, WELL, Refusal, State, Why
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import deployment as deployments
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.deployment import (
    Deployment,
    new_id,
    result_of,
    unchanged,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import Kind

RECORD = {
    "id": "the-id",
    "outcome": "committed",
    "mode": "test",
    "reboot_required": "no",
    "from": OLD,
    "from_boot": OLD,
    "to": NEW,
    "to_live": NEW,
    "live": NEW,
    "boot": NEW,
    "generation": "42",
    "notes": "one\n\ntwo\n",
    "failed_units": "",
}


def ended(state: State, **fields: str) -> dict[str, str]:
    return {"record": json.dumps(RECORD | {"outcome": state} | fields), "state": state}


def deployment(*answers: dict[str, str], name: str = "host1") -> Deployment:
    return Deployment(FakeHost(answers, name=name), "the-id", 300)


def test_it_is_followed_to_its_end() -> None:
    its = deployment(*({"state": state} for state in ("checking", "activating", "activating")), ended(State.COMMITTED))
    host = its.host
    assert isinstance(host, FakeHost)
    answer = its.follow(its.ask("poll"))
    assert (its.state, answer.get("state"), host.done()) == (State.COMMITTED, "committed", True)
    # It says what it knows already, so that the host answers when there is news; and each is told once.
    assert [each.inputs["known"] for each in host.asked] == ["", "checking", "activating", "activating"]
    assert {each.inputs["awaited"] for each in host.asked} == {"window"}
    assert {each.inputs["id"] for each in host.asked} == {"the-id"}
    assert {(each.inputs["quiet"], each.inputs["patience"], each.limit) for each in host.asked} == {("10", "12", 72)}
    assert len(host.told) == 3


def test_it_is_followed_until_it_waits() -> None:
    its = deployment({"state": "settling"}, {"state": "window"})
    its.follow(its.ask("poll"), lambda state: state == State.WINDOW)
    assert its.state == State.WINDOW


def test_its_line_says_more_than_its_directory() -> None:
    """The directory may be gone between two looks at it."""
    its = deployment({"state": "unknown", "record": ended(State.ROLLED_BACK)["record"]})
    its.ask("poll")
    assert its.state == State.ROLLED_BACK


@pytest.mark.parametrize("is_told", [True, False])
def test_a_boot_that_ends_the_deployment_of_a_profile(monkeypatch: pytest.MonkeyPatch, is_told: bool) -> None:
    """The host answers before it has done that."""
    monkeypatch.setattr(deployments, "sleep", lambda _seconds: None)
    unknown = itertools.repeat({"state": "unknown"}, 3 if is_told else 70)
    its = deployment(*unknown, ended(State.INTERRUPTED))
    inputs = {"place": "it", "profile_path": "/it", "profile_user": "root", "activate": "", "first": "no"}
    its.host.kind = Kind("profile", inputs)
    its.decides_by = "then"
    if is_told:
        its.follow(its.ask("poll"))
        assert its.state == State.INTERRUPTED
    else:
        with pytest.raises(HostError, match="a unit that runs at its boot takes it back") as caught:
            its.follow(its.ask("poll"))
        assert caught.value.reason == Refusal.UNKNOWN_DEPLOYMENT
        assert its.host.undecided["decides_by"] == "then"


def test_host_that_knows_nothing_of_it() -> None:
    its = deployment({"state": "unknown"})
    with pytest.raises(HostError, match="deploy again, which repairs what is left") as caught:
        its.follow(its.ask("poll"))
    assert caught.value.reason == Refusal.UNKNOWN_DEPLOYMENT


def test_deployment_that_nobody_carries_out() -> None:
    host = FakeHost(itertools.repeat({"state": "settling", "holder": "inactive"}, 100))
    its = Deployment(host, "the-id", 300)
    with pytest.raises(HostError, match="is settling, and neither of its units runs") as caught:
        its.follow(its.ask("poll"))
    assert (caught.value.reason, len(host.asked)) == (Refusal.ABANDONED, 11)


def test_units_that_are_just_being_exchanged_are_no_end() -> None:
    dead, alive = {"state": "settling", "holder": "failed"}, {"state": "settling", "holder": "deactivating"}
    its = deployment(*[dead] * 10, alive, *[dead] * 10, ended(State.ROLLED_BACK))
    its.follow(its.ask("poll"))
    assert its.state == State.ROLLED_BACK


def test_word_of_another_release_is_followed_all_the_same() -> None:
    its = deployment({"state": "commit-trial"}, ended(State.COMMITTED))
    its.follow(its.ask("poll"))
    assert its.state == State.COMMITTED


def test_names_do_not_meet() -> None:
    assert len({new_id() for _each in range(100)}) == 100


def test_unchanged() -> None:
    answer = {"generation": "7", "loader": "grub", "loader_default": NEW, "loader_why": ""}
    assert unchanged(answered(answer)) == {
        "changed": False,
        "deployment": "",
        "state": "unchanged",
        "generation": 7,
        "boot_loader": "grub",
        "boot_loader_default": NEW,
        "notes": [],
    }


def test_unchanged_until_the_next_reboot() -> None:
    """The generation is of what boots, and a note says so."""
    said = {"unchanged": "yes", "until_reboot": "yes", "generation": "7", "loader_default": OLD}
    told = unchanged(answered(said))
    assert told["notes"] == ["it runs until the next reboot, which starts generation 7 again"]


def test_unchanged_as_far_as_the_profile_says() -> None:
    answer = {"loader": "unknown", "loader_default": "", "loader_why": "/boot should be mounted, and is not"}
    result = unchanged(answered(answer))
    assert (result["boot_loader"], result["boot_loader_default"]) == ("unknown", "")
    assert result["notes"] == ["the boot loader's default is unknown: /boot should be mounted, and is not"]


def result(state: State, **fields: str) -> dict[str, Any]:
    its = deployment(ended(state, **fields))
    return result_of(its.host, its, its.ask("poll"))


def test_what_the_boot_loader_starts() -> None:
    found = result(State.COMMITTED, loader="systemd-boot", loader_default=NEW)
    assert (found["boot_loader"], found["boot_loader_default"]) == ("systemd-boot", NEW)


def test_return_values_of_one_that_has_committed() -> None:
    its = deployment(ended(State.COMMITTED))
    assert result_of(its.host, its, its.ask("poll")) == {
        "deployment": "the-id",
        "state": "committed",
        "changed": True,
        "previous_system": OLD,
        "previous_boot_default": OLD,
        "system": NEW,
        "boot_default": NEW,
        "generation": 42,
        # Its record is of a release that did not ask the loader.
        "boot_loader": "",
        "boot_loader_default": "",
        "notes": ["one", "two"],
        "failed_units": [],
        "reboot_required": False,
    }
    assert isinstance(its.host, FakeHost)
    assert its.host.warned == ["one", "two"]


def test_one_that_was_rebooted_before_its_end_was_heard_of() -> None:
    """What was to run until then does not; of one that has committed the boot default is what it is."""
    for outcome, boot, live, state in (
        (State.UNTIL_REBOOT, "another", OLD, State.INTERRUPTED),
        (State.UNTIL_REBOOT, "the-same", NEW, State.UNTIL_REBOOT),
        (State.COMMITTED, "another", NEW, State.COMMITTED),
    ):
        line = ended(outcome, boot=OLD, boot_id="the-same") | {"state": "unknown", "boot_id": boot, "live": live}
        its = deployment(line)
        told = result_of(its.host, its, its.ask("poll"))
        assert (told["state"], told["system"], told.get("failed", False)) == (state, live, state not in WELL)
    its = deployment(ended(State.UNTIL_REBOOT, boot=OLD, boot_id="one") | {"boot_id": "another", "live": OLD})
    told = result_of(its.host, its, its.ask("poll"))
    assert told["reason"] == Why.POWER_LOST
    assert "has been rebooted since: it runs its boot default" in told["msg"]
    assert f"It runs {OLD} (the previous system) and would boot the same" in told["msg"]


def test_one_that_runs_until_the_next_reboot_has_ended_well() -> None:
    found = result(State.UNTIL_REBOOT, notes="one")
    assert (found["state"], found["changed"], found["notes"]) == ("until-reboot", True, ["one"])
    assert "failed" not in found


@pytest.mark.parametrize("state", sorted(FINAL - WELL))
def test_every_other_end_is_a_failure(state: State) -> None:
    found = result(state, why="reworded", why_code=Why.UNITS_FAILED)
    assert (found["state"], found["failed"], found["reason"]) == (state, True, "units-failed")
    assert found["changed"] == (state in (State.ROLLBACK_FAILED, State.COMMIT_FAILED))
    assert "reworded" in found["msg"]


def test_record_of_an_earlier_release_has_no_reason() -> None:
    assert "reason" not in result(State.ROLLED_BACK, why="units have failed: a.service")


@pytest.mark.parametrize(("mode", "required"), [("", False), ("boot", True)])
def test_one_that_waits(mode: str, required: bool) -> None:
    its = deployment({"state": "window", "mode": mode})
    found = result_of(its.host, its, its.ask("poll"))
    assert found == {"deployment": "the-id", "state": "window", "changed": True, "reboot_required": required}
