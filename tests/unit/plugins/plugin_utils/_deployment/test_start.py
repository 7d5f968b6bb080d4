# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The start of a deployment: what the host is asked, and what comes of its answers."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from unit.actions import options_of
from unit.fake_host import Clock, FakeHost, Scripted
from unit.settings import NEW, OLD, settings

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Mode, Refusal, State
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import boot_default, wait_while_busy
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.context import Context
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.other_names import OtherNames
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.settings import Settings
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.start import about, preflight, start
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.connection import Host
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.own_machine import this_machine

LOOKED = {"valid": "yes", "new_live": NEW, "previous_live": OLD, "previous_boot": OLD, "boot_id": "one"}
UNCHANGED = {"unchanged": "yes", "previous_live": NEW, "previous_boot": NEW, "generation": "7"}
BUSY = {"refused": "busy", "message": "x", "holder": "other"}
COMPARED = {"changes_from": OLD, "changes_to": NEW, "kernel_before": "1", "kernel_after": "2"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(wait_while_busy, "time", clock)
    return clock


def read(assignments: str) -> dict[str, str]:
    """Values that a shell would read."""
    return dict(word.split("=", 1) for word in shlex.split(assignments))


def test_host_is_looked_at_and_the_supervisor_started() -> None:
    host = FakeHost([LOOKED, {"state": "checking"}])
    made = settings(
        ignore_units=["a.service", "b c"], allow=["no_ssh", "other_hostname"], install_bootloader=True, lock_timeout=0
    )
    started = start(host, made, Mode.TEST, Context())
    assert started.deployment is not None
    assert (started.deployment.state, started.before.get("previous_live")) == (State.CHECKING, OLD)
    assert started.deployment.limits == made.limits.for_deployment(0)
    look, begin = host.asked
    assert (look.command, look.inputs["new"], look.inputs["begins"]) == ("preflight", NEW, "yes")
    assert (look.inputs["check_mode"], look.inputs["just_built"], look.inputs["over_ssh"]) == ("no", "no", "yes")
    assert (look.inputs["need_nix_kib"], look.inputs["need_boot_kib"]) == (str(32 << 10), "")
    assert look.inputs["allow"] == begin.inputs["allow"] == "no_ssh other_hostname"
    assert look.inputs["rollback_to"] == ""
    assert (begin.command, begin.inputs["id"]) == ("start", started.deployment.id)
    assert (begin.inputs["preflight"], begin.inputs["new_live"], begin.inputs["since_boot"]) == ("no", NEW, "one")
    assert (begin.inputs["awaited"], begin.inputs["install_bootloader"]) == ("window", "yes")
    assert begin.inputs["login_user"] == "admin"
    its = read(begin.inputs["settings"])
    assert (its["mode"], its["policy"], its["on_reboot_required"]) == ("test", "strict", "fail")
    assert (its["ignore_units"], its["last_resort_reboot"], its["over_ssh"]) == ("a.service\nb c", "auto", "yes")
    assert (its["confirm_limit"], its["commit_limit"]) == ("120", "120")
    assert (its["settle_limit"], its["settles_early"]) == ("3", "yes")


@pytest.mark.parametrize("given", [0, 3, 30])
def test_time_to_settle_that_is_given_is_meant(given: int) -> None:
    host = FakeHost([LOOKED, {"state": "checking"}])
    start(host, settings(limits={"settle": given}), Mode.TEST, Context())
    its = read(host.asked[1].inputs["settings"])
    assert (its["settle_limit"], its["settles_early"]) == (str(given), "no")


def test_what_was_just_built_is_looked_at_as_it_is_started() -> None:
    host = FakeHost([{"state": "checking", "new_live": NEW, "previous_live": OLD}])
    started = start(host, settings(), Mode.BOOT, Context(), since_boot="one")
    assert started.before.get("previous_live") == OLD
    (begin,) = host.asked
    assert (begin.inputs["preflight"], begin.inputs["since_boot"], begin.inputs["just_built"]) == ("yes", "one", "yes")
    assert begin.inputs["awaited"] == ""


def test_after_a_wait_for_others_the_build_is_not_that_recent_any_more() -> None:
    host = FakeHost([BUSY, LOOKED, {"state": "checking"}])
    start(host, settings(), Mode.TEST, Context(), since_boot="long ago")
    assert host.commands == ["start", "preflight", "start"]
    assert [each.inputs.get("since_boot") for each in host.asked] == ["long ago", None, "one"]
    assert len({each.inputs["id"] for each in host.asked if each.command == "start"}) == 1


@pytest.mark.parametrize("since_boot", ["", "one"])
def test_nothing_to_do(since_boot: str) -> None:
    host = FakeHost([UNCHANGED])
    started = start(host, settings(), Mode.TEST, Context(), since_boot=since_boot)
    assert (started.deployment, started.before.get("generation"), host.done()) == (None, "7", True)


def test_busy_host_is_refused_in_the_end(clock: Clock) -> None:
    host = FakeHost([BUSY] * 10)
    began = clock.now
    with pytest.raises(HostError) as caught:
        start(host, settings(lock_timeout=6), Mode.TEST, Context())
    assert (caught.value.reason, clock.now - began, caught.value.result) == (Refusal.BUSY, 6, {})


def test_check_mode_starts_nothing() -> None:
    host = FakeHost([LOOKED])
    started = start(host, settings(), Mode.TEST, Context(check_mode=True, diff_mode=True), since_boot="one")
    assert started.deployment is None
    (look,) = host.asked
    assert (look.command, look.inputs["check_mode"], look.inputs["begins"], look.inputs["diff"]) == (
        "preflight",
        "yes",
        "no",
        "yes",
    )
    assert read(look.inputs["settings"])["mode"] == "test"
    # It has to be waited for as long as its own limit is, and a comparison.
    assert look.limit > 240 + int(look.inputs["check_mode_limit"])


def test_check_mode_of_a_host_that_would_refuse_says_how_much_is_free() -> None:
    host = FakeHost([{"free_nix_kib": "1024", "refused": "no-space", "message": "x"}])
    with pytest.raises(HostError) as caught:
        start(host, settings(), Mode.TEST, Context(check_mode=True))
    space = {"nix": {"free_bytes": 1 << 20, "needed_bytes": 32 << 20, "enough": False}}
    assert caught.value.result == {"state": "would-refuse", "changed": False, "free_space": space}


@pytest.mark.parametrize(("mode", "compared"), [(Mode.TEST, f"{NEW}-live"), (Mode.BOOT, NEW)])
def test_diff_mode_compares_what_will_run(mode: Mode, compared: str) -> None:
    host = FakeHost([LOOKED | {"new_live": f"{NEW}-live"}, COMPARED, {"state": "checking"}])
    started = start(host, settings(), mode, Context(diff_mode=True), since_boot="one")
    assert host.commands == ["preflight", "compare", "start"]
    assert host.asked[1].inputs == {"old": {Mode.TEST: "running", Mode.BOOT: "boot-default"}[mode], "new": compared}
    assert started.deployment is not None
    assert started.deployment.changes["changes"]["kernel"] == {"before": "1", "after": "2"}


def test_systems_that_cannot_be_compared_are_no_failure() -> None:
    host = FakeHost([LOOKED, HostError("no answer", Refusal.NO_ANSWER), {"state": "checking"}])
    started = start(host, settings(), Mode.TEST, Context(diff_mode=True))
    assert started.deployment is not None
    assert started.deployment.changes == {}


def test_host_finds_the_system_of_a_rollback_itself() -> None:
    found = LOOKED | {"toplevel": OLD, "new_live": OLD, "generation_to": "6"}
    host = FakeHost([found, {"state": "checking"}])
    start(host, settings(toplevel=None), Mode.TEST, Context(), rollback_to="previous")
    look, begin = host.asked
    assert (look.inputs["rollback_to"], look.inputs["new"], begin.inputs["new"]) == ("previous", "", OLD)
    assert host.told[0] == f"rolls back to generation 6, {OLD}"
    assert json.loads("{" + begin.inputs["about"] + "}")["configuration"] == "generation 6"


def test_rollback_that_has_waited_for_another_one_does_not_undo_it() -> None:
    """To the host the generation before the boot default is another one by then."""
    found = LOOKED | {"toplevel": OLD, "new_live": OLD, "generation_to": "6"}
    host = FakeHost([found, BUSY, UNCHANGED | {"toplevel": OLD}])
    started = start(host, settings(toplevel=None), Mode.TEST, Context(), rollback_to="previous")
    assert started.deployment is None
    asked = [(each.inputs["rollback_to"], each.inputs["new"]) for each in host.asked if each.command == "preflight"]
    assert asked == [("previous", ""), ("toplevel", OLD)]


def test_host_is_told_what_it_was_when_it_was_looked_at() -> None:
    """It begins only where it is that still: whoever came before may have deployed the same."""
    host = FakeHost([LOOKED, BUSY, UNCHANGED])
    assert start(host, settings(), Mode.TEST, Context()).deployment is None
    assert host.commands == ["preflight", "start", "preflight"]
    seen = host.asked[1].inputs
    assert (seen["seen_live"], seen["seen_boot"]) == (LOOKED["previous_live"], LOOKED["previous_boot"])


@pytest.mark.parametrize("mode", [Mode.TEST, Mode.BOOT])
def test_host_that_was_there_already_when_it_was_looked_at_may_have_nothing_left_to_do(mode: Mode) -> None:
    """The look fell between the commit of another deployment and its end."""
    look = LOOKED | {"previous_live": NEW, "previous_boot": NEW, "generation_to": "7"}
    host = FakeHost([look, UNCHANGED])
    started = start(host, settings(), mode, Context())
    assert (started.deployment, host.undecided) == (None, {})
    assert host.asked[1].inputs["mode"] == mode
    assert [started.before.get(each) for each in ("unchanged", "generation", "generation_to")] == ["yes", "7", "7"]


@pytest.mark.parametrize("lock_timeout", [0, 60])
def test_host_that_was_switched_meanwhile_is_looked_at_again_at_once(clock: Clock, lock_timeout: int) -> None:
    """Nobody holds it up any more, so that is no wait."""
    host = FakeHost([LOOKED, {"refused": "busy", "message": "x", "switched": "yes"}, UNCHANGED])
    began = clock.now
    assert start(host, settings(lock_timeout=lock_timeout), Mode.TEST, Context()).deployment is None
    assert clock.now == began


def test_host_that_is_switched_again_and_again_is_busy() -> None:
    switched = {"refused": "busy", "message": "x", "switched": "yes"}
    host = FakeHost([LOOKED, switched] * 4)
    with pytest.raises(HostError) as caught:
        start(host, settings(lock_timeout=0), Mode.TEST, Context())
    assert (caught.value.reason, host.done()) == (Refusal.BUSY, True)


@pytest.mark.parametrize(
    ("given", "strategy", "again_as", "reason"),
    [
        ({}, "", "twin2", Refusal.SAME_HOST),
        # Confirmed by the same task, or by one that does not wait for this one.
        ({"confirm": True}, "", "twin2", Refusal.BUSY),
        ({}, "free", "twin2", Refusal.BUSY),
        # Of an earlier play.
        ({}, "", "twin1", Refusal.BUSY),
    ],
)
def test_names_of_one_host_do_not_wait_for_each_other_for_ever(
    tmp_path: Path, given: dict[str, Any], strategy: str, again_as: str, reason: Refusal
) -> None:
    context = Context(strategy=strategy, other_names=OtherNames(tmp_path))
    made = replace(settings(lock_timeout=6), **given)
    first = start(FakeHost([LOOKED, {"state": "window"}], name="twin1"), made, Mode.TEST, context).deployment
    assert first is not None
    busy = BUSY | {"holder": first.id}
    with pytest.raises(HostError) as caught:
        start(FakeHost([LOOKED, *[busy, LOOKED] * 4], name=again_as), made, Mode.TEST, context)
    assert caught.value.reason == reason
    assert ("twin2 is the same host as twin1" in str(caught.value)) == (reason == Refusal.SAME_HOST)


@pytest.mark.parametrize(
    ("given", "mode", "reason"),
    [
        ({"toplevel": "/etc"}, Mode.TEST, Refusal.NOT_A_STORE_PATH),
        ({"toplevel": None}, Mode.TEST, Refusal.NOT_A_STORE_PATH),
        ({"specialisation": "no-gpu"}, Mode.BOOT, Refusal.SPECIALISATION_WITHOUT_TEST),
        ({"limits": {"commit": 0}}, Mode.TEST, Refusal.BAD_LIMIT),
        ({"limits": {"confirm": 5}, "all_or_nothing": True}, Mode.TEST, Refusal.BAD_LIMIT),
        ({"all_or_nothing": True}, Mode.BOOT, Refusal.BAD_OPTION),
    ],
)
def test_what_cannot_be_meant_never_reaches_the_host(given: dict[str, Any], mode: Mode, reason: Refusal) -> None:
    with pytest.raises(HostError) as caught:
        start(FakeHost(), settings(**given), mode, Context())
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"all_or_nothing": True}, "all_or_nothing"),
        (
            {"install_bootloader": True, "on_reboot_required": "boot"},
            "on_reboot_required 'boot' and install_bootloader",
        ),
        ({"secrets": [{"name": "a", "path": "/run/a", "content": "b"}]}, "secrets"),
        ({"remove_other_secrets": True}, "secrets"),
    ],
)
def test_what_outlives_a_reboot_is_not_until_then(given: dict[str, Any], named: str) -> None:
    its = {"toplevel": NEW, **given}
    Settings.from_options(options_of("system_test", **its))
    with pytest.raises(HostError, match=f"cannot be with {named}") as caught:
        Settings.from_options(options_of("system_test", until_reboot=True, **its))
    assert caught.value.reason == Refusal.BAD_OPTION
    with pytest.raises(HostError, match="has to be tested live"):
        start(
            FakeHost(),
            Settings.from_options(options_of("flake_deploy", toplevel=NEW, until_reboot=True)),
            Mode.BOOT,
            Context(),
        )


@pytest.mark.parametrize("chosen", [True, False])
def test_every_look_knows_what_is_meant_until_the_next_reboot(chosen: bool) -> None:
    word = "yes" if chosen else "no"
    made = replace(settings(), until_reboot=chosen)
    host = FakeHost([LOOKED, {"state": "checking"}, {"state": "checking"}])
    start(host, made, Mode.TEST, Context())
    start(host, made, Mode.TEST, Context(), since_boot="one")
    looks = [asked.inputs["until_reboot"] for asked in host.asked]
    units = [read(asked.inputs["settings"])["until_reboot"] for asked in host.asked if "program" in asked.inputs]
    assert (looks, units) == ([word] * 3, [word] * 2)


def test_fleet_waits_for_its_slowest_batch() -> None:
    host = FakeHost([LOOKED, {"state": "checking"}])
    started = start(host, settings(all_or_nothing=True), Mode.TEST, Context(batches=3))
    assert started.deployment is not None
    assert read(host.asked[1].inputs["settings"])["confirm_limit"] == str(3 * (60 + 60 + 300 + 3) + 120)


def test_preflight_begins_nothing() -> None:
    host = FakeHost([LOOKED])
    preflight(host, settings())
    assert (host.commands, host.asked[0].inputs["begins"], host.asked[0].inputs["mode"]) == (
        ["preflight"],
        "no",
        "boot",
    )


def test_operator_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert json.loads("{" + about("the-id", settings()) + "}")["by"] == f"uid {os.getuid()}"


def test_what_the_record_says_of_the_source() -> None:
    made = settings(
        flake='a "b"',
        revision="r",
        configuration="web1",
        nar_hash="h",
        dirty=True,
        dirty_revision="r-dirty",
        specialisation="s",
        message='new "certificate"\nfor all',
    )
    said = json.loads("{" + about("the-id", made, "6") + "}")
    assert said.pop("by")
    assert said.pop("controller")
    assert said == {
        "id": "the-id",
        "flake": 'a "b"',
        "revision": "r",
        "configuration": "web1",
        "nar_hash": "h",
        "dirty": "yes",
        "dirty_revision": "r-dirty",
        "specialisation": "s",
        "message": 'new "certificate"\nfor all',
    }


def test_expected_system_is_looked_at_before_and_by_the_supervisor() -> None:
    made = settings(expected_system=OLD)
    host = FakeHost([LOOKED, {"state": "checking"}])
    start(host, made, Mode.TEST, Context())
    look, begin = host.asked
    assert (look.inputs["expected_system"], "expected_system" in begin.inputs) == (OLD, False)
    assert read(begin.inputs["settings"])["expected_system"] == OLD
    host = FakeHost([{"state": "checking"}])
    start(host, made, Mode.TEST, Context(), since_boot="one")
    assert host.asked[0].inputs["expected_system"] == OLD
    with pytest.raises(HostError, match="expected_system must be the store path") as error:
        settings(expected_system="/nix/var/nix/profiles/system")
    assert error.value.reason == Refusal.NOT_A_STORE_PATH


def made_default(*answers: Scripted, **context: Any) -> tuple[FakeHost, dict[str, Any]]:
    host = FakeHost(answers)
    one: Host = host
    return host, boot_default.make_boot_default(one, settings(), Context(**context))


def test_boot_default_without_a_test() -> None:
    record = {"outcome": "committed", "live": OLD, "boot": NEW, "to": NEW, "to_live": NEW, "reboot_required": "yes"}
    host, result = made_default(LOOKED, {"state": "confirmed"}, {"state": "committed", "record": json.dumps(record)})
    assert host.commands == ["preflight", "start", "poll"]
    assert (result["state"], result["reboot_required"], result["boot_default"]) == ("committed", True, NEW)


@pytest.mark.parametrize(
    ("mode", "given", "over_ssh", "asks"),
    [
        (Mode.TEST, {}, True, True),
        (Mode.TEST, {"allow": ["unproven_way_in"]}, True, False),
        # Nobody confirms from outside.
        (Mode.BOOT, {}, True, False),
    ],
)
def test_host_is_told_what_the_controller_is(mode: Mode, given: dict[str, Any], over_ssh: bool, asks: bool) -> None:
    """It may be the same machine, by a name that nobody knows here."""
    host = FakeHost([LOOKED, {"state": "window"}], over_ssh=over_ssh)
    start(host, settings(**given), mode, Context())
    assert host.asked[0].inputs["from"] == (this_machine() if asks else "")


def test_boot_default_that_it_is_already() -> None:
    _host, result = made_default(UNCHANGED)
    assert (result["state"], result["changed"], result["previous_system"]) == ("unchanged", False, NEW)


def test_boot_default_in_check_mode() -> None:
    _host, result = made_default(LOOKED | COMPARED | {"checked": "yes"}, check_mode=True, diff_mode=True)
    assert (result["state"], result["previous_boot_default"]) == ("would-boot", OLD)
    assert result["changes"]["from"] == OLD
