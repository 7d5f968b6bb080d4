# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of every state that a deployment can be in or end in."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import FINAL, WELL, Refusal, State, Why
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import messages
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.record import read_record
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer, HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import program, script

OLD, NEW = "/nix/store/old", "/nix/store/new"
FAILURES = sorted(FINAL - WELL)


def record(**changes: str) -> dict[str, str]:
    return {
        "outcome": "rolled-back",
        "phase": "settling",
        "from": OLD,
        "to": NEW,
        "live": OLD,
        "boot": OLD,
        "why": "units have failed: a.service",
        "failed_units": "a.service",
        "journal": "a.service: boom",
        "log": "\n".join(f"line {number}" for number in range(30)),
    } | changes


def test_every_state_of_the_supervisor_has_words() -> None:
    lines = [line.strip() for line in program("deployment").splitlines()]
    states = {line.split()[-1].strip('"') for line in lines if line.startswith("state ")}
    states |= set(State)
    assert {"checking", "window", "commit-boot", "rolling-back"} <= states
    for state in states - {"$1", '$1"'}:
        assert messages.progress(state) != state, state


def test_the_scripts_and_the_controller_know_the_same_final_states() -> None:
    (line,) = (line for line in script("lib/states").splitlines() if line.startswith("final_states="))
    assert set(line.partition("=")[2].strip('"').split()) == FINAL


@pytest.mark.parametrize("state", FAILURES)
def test_failure_says_what_where_and_what_next(state: str) -> None:
    text = messages.failure("web1", "the-id", state, record(outcome=state))
    assert text.startswith(f"web1 {messages.progress(state)}.")
    for words in (
        "Why (phase settling): units have failed: a.service",
        OLD,
        "a.service: boom",
        "  line 10\n",
        "  line 29\n",
        "the-id",
    ):
        assert words in text
    assert "\nOutput of switch-to-configuration (last 20 lines):\n  line 10\n" in text
    assert "\nNext: " in text


@pytest.mark.parametrize("state", FAILURES)
def test_output_of_the_way_back_is_shown_where_that_has_failed(state: str) -> None:
    text = messages.failure("web1", "the-id", state, record(outcome=state, undo_log="no way"))
    shown = state in (State.ROLLBACK_FAILED, State.COMMIT_FAILED)
    assert ("\nOutput of the way back (last 20 lines):\n  no way\n" in text) == shown


@pytest.mark.parametrize("reasons", [1, 10])
@pytest.mark.parametrize("lines", [5, 40])
def test_reasons_that_the_host_puts_first_are_shown(reasons: int, lines: int) -> None:
    """However much was printed behind them."""
    first = [*(f"reason {number}" for number in range(reasons)), "…"]
    last = [f"noise {number}" for number in range(lines)]
    shown = messages.excerpt("Output", "\n".join(first + last)).splitlines()[1:]
    kept = last[len(first) - 20 :]
    assert shown == [f"  {line}" for line in first + kept]
    assert len(shown) <= 20


def test_what_was_not_activated_is_not_said_to_run() -> None:
    assert "runs after a reboot" in messages.progress("committed", "", {"to": NEW, "to_live": NEW, "live": OLD})
    for ended in ({"to": NEW, "to_live": "/x", "live": "/x"}, {"to": NEW, "to_live": NEW, "live": NEW}, {}):
        assert messages.progress("committed", "", ended).endswith("the new system runs and is the boot default")


def test_refusal_for_a_reboot_says_how_to_allow_it() -> None:
    text = messages.failure(
        "web1", "the-id", "refused", record(why="the new system needs a reboot", why_code=Why.REBOOT_REQUIRED)
    )
    assert "set on_reboot_required to 'boot' or 'boot_and_reboot' and deploy again, without until_reboot" in text


@pytest.mark.parametrize("failed", ["a.service\n", ""])
def test_units_are_to_be_named_only_where_the_host_names_some(failed: str) -> None:
    """The units of a user are none that ignore_units knows."""
    its = record(why="Allow 'user_failures'", why_code=Why.UNITS_FAILED, failed_units=failed)
    next_step = messages.failure("web1", "the-id", State.ROLLED_BACK, its).partition("\nNext: ")[2]
    assert ("deploy_flake_ignore_units" in next_step) == bool(failed)
    assert next_step.startswith("fix the configuration, or ")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (Why.UNITS_FAILED_BEFORE, ("health_policy 'no_new_failures'", "ignore_units")),
        (Why.NOT_UP, ("limits.health", "systemctl list-jobs")),
    ],
)
def test_refusal_of_a_host_that_is_not_well_says_the_way_on(code: Why, words: Sequence[str]) -> None:
    """What would mend the host is the next deployment."""
    text = messages.failure("web1", "the-id", State.REFUSED, record(why="x", why_code=code))
    next_step = text.partition("\nNext: ")[2]
    assert all(word in next_step for word in words)


def test_what_to_do_about_a_refusal_does_not_hang_on_its_words() -> None:
    for code, words in ((Why.REBOOT_REQUIRED, "reworded"), (Why.UNITS_FAILED_BEFORE, "the new system needs a reboot")):
        text = messages.failure("web1", "the-id", State.REFUSED, record(why=words, why_code=code))
        assert ("on_reboot_required" in text) == (code == Why.REBOOT_REQUIRED)


def test_record_of_an_earlier_release_has_no_code() -> None:
    text = messages.failure("web1", "the-id", State.REFUSED, record(outcome="refused"))
    assert "fix what is named above and deploy again" in text


def test_failure_tells_running_and_boot_default_apart() -> None:
    text = messages.failure("web1", "the-id", "rollback-failed", record(live=NEW))
    assert f"It runs {NEW} (the new system) and would boot {OLD}." in text
    assert "another system" in messages.failure("web1", "the-id", "superseded", record(live="/nix/store/third"))


def test_boot_loader_that_starts_another_system_than_the_profile() -> None:
    record = {"to": NEW, "from": OLD, "live": OLD, "boot": OLD, "loader": "grub", "loader_default": NEW}
    text = messages.failure("web1", "the-id", "commit-failed", record)
    assert (
        f"It runs {OLD} (the previous system); its boot loader starts {NEW}, and its system profile is {OLD}." in text
    )
    for loader in (OLD, ""):
        text = messages.failure("web1", "the-id", "rolled-back", record | {"loader_default": loader})
        assert f"It runs {OLD} (the previous system) and would boot the same." in text


def test_record_of_a_host_that_did_not_say_what_it_runs() -> None:
    text = messages.failure("web1", "the-id", "interrupted", record(live=""))
    assert "It runs" not in text


def test_failure_without_a_record_does_not_invent_one() -> None:
    assert "is not known" in messages.failure("web1", "the-id", "rolled-back", {})


def test_who_is_busy() -> None:
    about = '"by": "ann", "controller": "desk", "flake": ".", "configuration": "web1"'
    answer = Answer([("holder", "20260101T000000Z-abcd"), ("holder_about", about)])
    text = messages.who_is_busy(HostError("web1 another deployment is in progress", Refusal.BUSY, answer))
    assert "started by ann on desk at 20260101T000000Z: web1 of ." in text
    # Of secrets alone, and as the host says it.
    about = '"by": "ann", "controller": "desk"'
    said = [("holder", "20260101T000000Z-abcd"), ("holder_about", about), ("message", "another one is in progress")]
    text = messages.who_is_busy(HostError("web1 another one is in progress", Refusal.BUSY, Answer(said)))
    assert text == "another one is in progress (started by ann on desk at 20260101T000000Z)"
    assert messages.who_is_busy(HostError("plain", Refusal.BUSY)) == "plain"


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_broken_record_is_none(text: str) -> None:
    assert read_record(text) == {}


def test_record_is_read() -> None:
    assert read_record(json.dumps(record()))["outcome"] == "rolled-back"


def test_answers_are_read_behind_the_marker() -> None:
    answer = Answer.parse("a banner\n\1deploy-flake\1a\0one\ntwo\0a\0three\0empty\0\0")
    assert answer.all("a") == ["one\ntwo", "three"]
    assert answer.get("empty", "x") == ""
    assert answer.get("nothing", "x") == "x"


@pytest.mark.parametrize(
    "output", ["", "a\0b\0", "\1deploy-flake\1a\0b", "\1deploy-flake\1a\0b\0c\0", "\1deploy-flake\1a\0b\0c"]
)
def test_cut_off_answers_are_none(output: str) -> None:
    with pytest.raises(ValueError, match="not an answer"):
        Answer.parse(output)


@pytest.mark.parametrize(
    ("why", "word"),
    [
        (Why.REBOOT_REQUIRED, "on_reboot_required"),
        (Why.UNITS_FAILED_BEFORE, "health_policy"),
        (Why.NOT_UP, "limits.health"),
        (Why.PRE_ACTIVATE_SCRIPT, "deploy_flake_pre_activate_script"),
        (Why.PRE_SWITCH_CHECKS, "system.preSwitchChecks"),
        (Why.SWITCH_LOCKED, "wait until whoever switches the host has ended"),
    ],
)
def test_refusals_of_the_supervisor_name_what_helps(why: Why, word: str) -> None:
    assert word in messages.after_refusal(why, "deploy")


@pytest.mark.parametrize("state", sorted(set(State) - {State.SUPERSEDED, State.UNTIL_REBOOT, State.UNKNOWN}))
def test_secrets_alone_have_words_of_their_own(state: str) -> None:
    """There is no new system, and no configuration to be mended; the commit states of a system are not theirs."""
    commits = (State.COMMIT_CHECK, State.COMMIT_PROFILE, State.COMMIT_BOOT, State.COMMIT_VERIFY, State.COMMIT_FAILED)
    if state in commits:
        return
    said = [messages.progress(state, only_secrets=True)]
    if state in FAILURES:
        for why_code in ("", Why.UNITS_FAILED, Why.UNITS_FAILED_BEFORE, Why.NOT_CONFIRMED):
            for failed in ("", "a.service"):
                given = record(outcome=state, only_secrets="yes", to=OLD, why_code=why_code, failed_units=failed)
                said.append(messages.failure("web1", "the-id", state, given))
    for text in said:
        assert "new system" not in text, text
        assert "previous system" not in text, text
        assert "configuration" not in text.replace("switch-to-configuration", ""), text


def test_refusal_of_secrets_alone_says_what_starts_a_unit_with_them() -> None:
    assert "restart_units" in messages.after_refusal(Why.UNITS_FAILED_BEFORE, "deploy", only_secrets=True)
    assert "restart_units" not in messages.after_refusal(Why.UNITS_FAILED_BEFORE, "deploy")
