# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From ansible-runner's events to results, exit codes and what is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from rich.console import Console
from unit.package.test_check_and_diff import CHANGES

from deploy_flake.display import Plain, detail, table_lines
from deploy_flake.events import Ended, Entered, Event, Operation, Phase, Progress, Started, Warned
from deploy_flake.result import ExitCode, HostResult, HostStatus, Outcome, Reason, exit_code
from deploy_flake.runner_events import RunnerEvents
from deploy_flake.table import Table

SCHEMA = json.loads((Path(__file__).parents[3] / "deploy_flake/events.schema.json").read_text())


def started(host: str, module: str) -> dict[str, Any]:
    return {"event": "runner_on_start", "event_data": {"host": host, "task_action": f"deploy_flake.nixos.{module}"}}


def result(host: str, module: str, how: str = "ok", **values: Any) -> dict[str, Any]:
    action = f"deploy_flake.nixos.{module}" if "." not in module else module
    return {"event": f"runner_on_{how}", "event_data": {"host": host, "resolved_action": action, "res": values}}


STATS = {"event": "playbook_on_stats", "event_data": {"processed": {}, "failures": {}}}


def read(
    *events: dict[str, Any], operation: Operation = Operation.DEPLOY, at_end: bool = False
) -> tuple[RunnerEvents, list[Event]]:
    told: list[Event] = []
    new = HostStatus if operation is Operation.STATUS else HostResult
    reports = RunnerEvents(operation, {"host1": new("host1")}, told.append, at_end)
    for event in events:
        reports.handle(event)
    for one in told:
        jsonschema.validate(json.loads(json.dumps(one.as_json())), SCHEMA)
    return reports, told


TESTED = result("host1", "system_test", state="window", toplevel="/nix/store/n-new", previous_system="/nix/store/o-old")


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ([TESTED, result("host1", "system_boot", state="committed", generation=3), STATS], Outcome.DEPLOYED),
        ([result("host1", "system_test", state="unchanged"), STATS], Outcome.UNCHANGED),
        ([result("host1", "system_test", "failed", state="rolled-back", msg="it broke")], Outcome.UNKNOWN),
        ([result("host1", "system_test", "failed", state="rolled-back", msg="it broke"), STATS], Outcome.ROLLED_BACK),
        ([result("host1", "system_test", "failed", state="refused", msg="no"), STATS], Outcome.FAILED),
        ([result("host1", "system_test", "failed", state="rollback-failed", msg="no"), STATS], Outcome.FAILED),
        ([result("host1", "flake_build", "failed", msg="no"), STATS], Outcome.FAILED),
        ([result("host1", "flake_build", "unreachable", msg="no"), STATS], Outcome.UNREACHABLE),
        ([started("host1", "system_boot"), result("host1", "x.y.z", "unreachable", msg="no"), STATS], Outcome.UNKNOWN),
        ([STATS], Outcome.FAILED),
        ([started("host1", "system_test")], Outcome.UNKNOWN),
    ],
)
def test_outcome(events: list[dict[str, Any]], outcome: Outcome) -> None:
    reports, _told = read(*events)
    assert reports.hosts["host1"].outcome is outcome


@pytest.mark.parametrize(
    ("task", "state", "outcome"), [("main.yml:70", "would-test", "would-change"), ("pre_activate.yml:8", "", "failed")]
)
def test_look_whether_there_is_anything_to_do_is_all_in_check_mode_alone(task: str, state: str, outcome: str) -> None:
    """Else the operator's own tasks come between it and the activation, and may fail."""
    reports, _told = read()
    looked = result("host1", "system_test", state="would-test", toplevel="/nix/store/n-new")
    looked["event_data"]["task_path"] = f"/x/roles/deploy/tasks/{task}"
    reports.handle(looked)
    reports.handle(STATS)
    assert (str(reports.hosts["host1"].state), str(reports.hosts["host1"].outcome)) == (state, outcome)


def test_look_before_the_tasks_of_the_operator_is_no_end_in_check_mode() -> None:
    """They come after it, and may fail; unchanged, it is the end, since the role leaves such a host out."""
    for state, outcome in (("would-test", "failed"), ("unchanged", "unchanged")):
        reports, _told = read()
        reports.check_mode = True
        looked = result("host1", "system_test", state=state)
        looked["event_data"]["task_path"] = "/x/roles/deploy/tasks/pre_activate.yml:8"
        reports.handle(looked)
        if outcome == "failed":
            reports.handle(result("host1", "fleet_outcome", "failed", msg="no"))
        reports.handle(STATS)
        assert str(reports.hosts["host1"].outcome) == outcome


def test_host_whose_new_system_the_operator_checks_is_not_forgotten() -> None:
    checks = {"event": "runner_on_start", "event_data": {"host": "host1", "task_action": "ansible.builtin.uri"}}
    reports, _told = read(started("host1", "system_test"), TESTED, checks)
    assert reports.phase("host1") == "working"
    assert reports.may_wait() == ["host1"]
    reports.end(interrupted=True)
    assert reports.hosts["host1"].outcome is Outcome.UNKNOWN
    assert "by itself" in reports.hosts["host1"].error


STEPS: dict[str, Any] = {
    "build": {"toplevel": "/nix/store/n-new", "bytes_sent": 7},
    "test": {"state": "window", "deployment": "d", "previous_system": "/nix/store/o-old"},
}


def test_steps_of_one_task_are_phases() -> None:
    lines = [{"event": "verbose", "stdout": f"host1: [{step}] …"} for step in ("build", "test", "boot")]
    reports, told = read(started("host1", "flake_deploy"), *lines)
    assert [event.phase for event in told if isinstance(event, Entered)] == [
        Phase.BUILDING,
        Phase.TESTING,
        Phase.CONFIRMING,
    ]
    reports.handle(result("host1", "flake_deploy", state="committed", **STEPS, boot={"state": "committed"}))
    host = reports.hosts["host1"]
    assert (host.outcome, host.new_system, host.previous_system, host.bytes_sent, host.deployment) == (
        Outcome.DEPLOYED,
        "/nix/store/n-new",
        "/nix/store/o-old",
        7,
        "d",
    )


def test_host_whose_next_step_was_not_told_yet_is_not_forgotten() -> None:
    reports, _told = read(started("host1", "flake_deploy"))
    assert reports.may_wait() == ["host1"]
    reports.handle(result("host1", "flake_deploy", "unreachable", msg="gone"))
    # Its first contact has failed.
    assert reports.hosts["host1"].outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ([], Outcome.UNKNOWN),
        ([started("host1", "system_revoke")], Outcome.UNKNOWN),
        ([started("host1", "system_revoke"), STATS], Outcome.INTERRUPTED),
        ([result("host1", "system_revoke", state="rolled-back"), STATS], Outcome.ROLLED_BACK),
    ],
)
def test_host_that_was_to_be_sent_back_is_not_called_untouched(events: list[dict[str, Any]], outcome: Outcome) -> None:
    """Interrupted twice, before that had even begun."""
    reports = RunnerEvents(Operation.REVOKE, {"host1": HostResult("host1")}, lambda _event: None, begun_before=True)
    for event in events:
        reports.handle(event)
    reports.end(interrupted=True)
    assert reports.hosts["host1"].outcome is outcome


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        ({"build": {"failed": True, "msg": "no"}}, Outcome.FAILED),
        ({**STEPS, "test": {"state": "rolled-back", "failed": True}}, Outcome.ROLLED_BACK),
        ({**STEPS, "boot": {"state": "commit-failed", "failed": True}}, Outcome.FAILED),
    ],
)
def test_failure_of_a_step(steps: dict[str, Any], outcome: Outcome) -> None:
    reports, _told = read(result("host1", "flake_deploy", "failed", msg="no", **steps), STATS)
    assert (reports.hosts["host1"].outcome, reports.hosts["host1"].error) == (outcome, "no")


BY = "2026-01-01T00:00:00+00:00"
LOST: dict[str, Any] = {
    "state": "unknown",
    "deployment": "d",
    "decides_by": BY,
    "reason": "lost",
    "msg": f"gone, by {BY}",
}


@pytest.mark.parametrize(
    "ends",
    [
        result("host1", "flake_deploy", "failed", **LOST, test={**LOST, "failed": True}),
        result("host1", "flake_deploy", "failed", **LOST, test={**STEPS["test"], "decides_by": "0"}, boot=LOST),
        result("host1", "system_test", "failed", **LOST),
        result("host1", "system_boot", "failed", **LOST),
        result("host1", "system_revoke", "failed", **LOST),
    ],
)
@pytest.mark.parametrize("at_end", [True, False])
def test_lost_host_is_unknown(ends: dict[str, Any], at_end: bool) -> None:
    """With its deployment and the time by which it decides by itself, in the result, the table and the error."""
    fails = result("host1", "fleet_outcome", "failed", msg="gone", **{k: LOST[k] for k in ("state", "reason")})
    reports, told = read(ends, fails, STATS, at_end=at_end)
    host = reports.hosts["host1"]
    assert (host.outcome, host.state, host.reason) == (Outcome.UNKNOWN, "unknown", "lost")
    assert (host.deployment, host.decides_by, host.error) == ("d", BY, f"gone, by {BY}")
    assert detail(host) == f"decides by itself by {BY}: deployment d"
    assert exit_code([host]) == ExitCode.FAILED
    assert [event.event for event in told].count("result") == 1


def test_lost_host_that_is_back_and_was_revoked_is_not_unknown() -> None:
    lost = result("host1", "system_test", "failed", **LOST)
    revoked = result("host1", "system_revoke", state="rolled-back", system="/nix/store/o-old")
    reports, _told = read(lost, revoked, result("host1", "fleet_outcome", "failed", msg="gone"), STATS, at_end=True)
    host = reports.hosts["host1"]
    assert (host.outcome, host.state, host.decides_by) == (Outcome.ROLLED_BACK, "rolled-back", "")


def test_host_that_waits_and_could_not_be_revoked_is_unknown() -> None:
    """Another host of the fleet has failed, and this one does not answer any more; or it went while it was checked."""
    tested = result("host1", "system_test", state="window", deployment="d", decides_by="0", toplevel="/nix/store/n-new")
    prepared = result("host1", "system_boot", state="prepared", deployment="d", decides_by=BY)
    revoked = result("host1", "system_revoke", "failed", **LOST | {"msg": "no answer"})
    revoked["event_data"]["ignore_errors"] = True
    fails = result("host1", "fleet_outcome", "failed", msg="another host", reason="another-host-failed")
    gone = result("host1", "ansible.builtin.uri", "unreachable", msg="no answer")
    for events in ((revoked, fails), (gone,)):
        reports, _told = read(tested, prepared, *events, STATS, at_end=True)
        host = reports.hosts["host1"]
        assert (host.outcome, host.deployment, host.decides_by) == (Outcome.UNKNOWN, "d", BY)
    assert f"deployment d, it finishes or undoes by itself, by {BY} at the latest" in host.error


def test_own_commit_stands_when_another_host_of_the_fleet_fails() -> None:
    boots = result("host1", "system_boot", state="committed")
    fails = result("host1", "fleet_outcome", "failed", msg="x", reason="another-host-failed")
    reports, _told = read(TESTED, boots, fails, STATS, at_end=True)
    assert reports.hosts["host1"].outcome is Outcome.DEPLOYED
    assert reports.hosts["host1"].reason == Reason.ANOTHER_HOST_FAILED
    # Where it is the host's own, the commit is not all that was asked for.
    own = result("host1", "fleet_outcome", "failed", msg="x")
    reports, _told = read(TESTED, boots, own, STATS, at_end=True)
    assert reports.hosts["host1"].outcome is Outcome.FAILED


def test_first_failure_is_told_in_full_and_only_once() -> None:
    first = result("host1", "system_test", "failed", state="rolled-back", msg="it broke\nin many\nlines")
    last = result("host1", "fleet_outcome", "failed", msg="it broke")
    reports, told = read(first, last, STATS)
    assert reports.hosts["host1"].error == "it broke\nin many\nlines"
    assert [event.event for event in told].count("result") == 1


def test_progress_and_warnings_find_their_host() -> None:
    _follower, told = read(
        {"event": "verbose", "stdout": "host1: activates the new system"},
        {"event": "verbose", "stdout": "nobody: says this"},
        {"event": "warning", "stdout": "[WARNING]: host1: something\nfolded"},
    )
    assert [event.as_json() | {"time": 0} for event in told] == [
        {"event": "progress", "time": 0, "host": "host1", "text": "activates the new system"},
        {"event": "warning", "time": 0, "host": "host1", "text": "something folded"},
    ]


NO_DRIFT = {"state": "none", "text": "no", "flake_revision": "a", "revision": "a", "why": ""}
LOOKED = result("host1", "system_info", current_system="/nix/store/n-new", health="running", age=60,
                free_space={"nix": None}, drift=NO_DRIFT, explanations=[])  # fmt: skip
ROWS = [{"host": "host1", "system": "n-new", "drift": "no", "deployment": "-"}]


def test_status_has_a_table_and_remarks() -> None:
    shown = result("host1", "fleet_status", rows=ROWS, remarks={"host1": ["it is odd"]})
    reports, _told = read(LOOKED, shown, STATS, operation=Operation.STATUS)
    host = reports.hosts["host1"]
    assert isinstance(host, HostStatus)
    assert (host.outcome, host.age, host.drift) == (Outcome.UNCHANGED, 60, NO_DRIFT)
    assert table_lines(reports.table) == ["host   system  drift", "host1  n-new   no"]
    out = io.StringIO()
    Plain(out).finish(SimpleNamespace(operation=Operation.STATUS, hosts=reports.hosts, table=reports.table, absent=[],
                                      remarks=reports.remarks, error="", seconds=1.0))  # type: ignore[arg-type] # fmt: skip
    assert "host1: it is odd" in out.getvalue()
    # Asked about one host, it tells all.
    assert "runs          /nix/store/n-new" in out.getvalue()


def test_status_of_a_host_that_failed_is_no_success() -> None:
    """Its playbook ignores errors, for the table's sake."""
    failed = result("host1", "system_info", "failed", msg="a script ended with 2")
    failed["event_data"]["ignore_errors"] = True
    reports, _told = read(failed, STATS, operation=Operation.STATUS)
    assert reports.hosts["host1"].outcome is Outcome.FAILED
    assert reports.hosts["host1"].error == "a script ended with 2"


def test_other_events_keep_to_the_schema() -> None:
    for event in (
        Started(operation=Operation.DEPLOY, hosts=("a",), flake="."),
        Ended(exit_code=ExitCode.OK, outcomes={"deployed": 1}, seconds=1.5),
        Warned(text="x"),
    ):
        jsonschema.validate(json.loads(json.dumps(event.as_json())), SCHEMA)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["deployed", "unchanged", "would-change"], ExitCode.OK),
        (["deployed", "failed", "unreachable", "rolled-back"], ExitCode.FAILED),
        (["unknown"], ExitCode.FAILED),
        (["rolled-back", "unreachable"], ExitCode.ROLLED_BACK),
        (["unreachable", "deployed"], ExitCode.UNREACHABLE),
        (["interrupted"], ExitCode.FAILED),
        (["interrupted", "unreachable", "rolled-back"], ExitCode.FAILED),
        ([], ExitCode.FAILED),
    ],
)
def test_exit_code(outcomes: list[str], code: ExitCode) -> None:
    hosts = [HostResult("host", Outcome(outcome)) for outcome in outcomes]
    assert exit_code(hosts) is code
    assert exit_code(hosts, interrupted=True) is ExitCode.INTERRUPTED


@pytest.mark.parametrize("kind", ["ok", "unreachable"])
def test_hosts_that_are_left_out(kind: str) -> None:
    told: list[Event] = []
    hosts = {name: HostResult(name) for name in ("host1", "host2")}
    reports = RunnerEvents(Operation.DEPLOY, hosts, told.append, allows_absent=True)
    reports.handle(result("host1", "flake_deploy", kind, absent=True, changed=False, msg="host1 is off"))
    reports.handle(result("host2", "flake_deploy", "unreachable", msg="Permission denied"))
    reports.handle(STATS)
    assert {host.outcome for host in reports.hosts.values()} == {Outcome.UNREACHABLE}
    assert reports.hosts["host1"].error == "host1 is off"
    assert reports.absent == {"host1"}


def test_nobody_is_left_out_where_that_is_not_allowed() -> None:
    reports, _told = read(result("host1", "system_info", "unreachable", absent=True, msg="off"), STATS)
    assert reports.absent == set()


def test_a_value_of_that_name_of_another_collection_is_none_of_ours() -> None:
    other = result("host1", "community.general.some_module", absent=True, changed=False)
    failed = result("host1", "flake_deploy", "failed", msg="does not build")
    reports, _told = read(other, failed, STATS)
    assert (reports.absent, reports.hosts["host1"].outcome) == (set(), Outcome.FAILED)
    assert reports.hosts["host1"].error == "does not build"


@pytest.mark.parametrize(("first", "absent"), [("flake_build", set()), ("system_info", {"host1"})])
def test_a_host_that_has_answered_before_is_not_left_out(first: str, absent: set[str]) -> None:
    reports = RunnerEvents(Operation.DEPLOY, {"host1": HostResult("host1")}, lambda _event: None, allows_absent=True)
    reports.handle(result("host1", first, "ok", changed=True))
    reports.handle(result("host1", "system_reboot", "unreachable", absent=True, msg="gone"))
    reports.handle(STATS)
    assert (reports.absent, reports.hosts["host1"].outcome) == (absent, Outcome.UNREACHABLE)


class Fifty:
    """A run with fifty hosts, as far as the table looks at it."""

    def __init__(self, reports: RunnerEvents) -> None:
        self.hosts = reports.hosts
        self.phase = reports.phase
        self.error = ""
        self.seconds = 3.0


@pytest.mark.parametrize("known_by", ["the command", "the inventory"])
def test_a_builder_that_is_no_host_of_the_run(known_by: str) -> None:
    """What it says is told, and stands beside those that wait for it; nothing becomes of it."""
    table = Table(Console(file=io.StringIO(), width=80, height=24))
    told: list[Event] = []
    reports = RunnerEvents(
        Operation.DEPLOY,
        {name: HostResult(name) for name in ("web1", "web2")},
        told.append,
        builders=["build1"] if known_by == "the command" else (),
    )
    if known_by == "the inventory":
        reports.handle(result("web1", "fleet_validate", builders=["build1"]))
    table._run = Fifty(reports)  # type: ignore[assignment]
    reports.handle(started("web1", "flake_build"))
    reports.handle({"event": "verbose", "stdout": "build1: building 3 of 7\nbuild2: nobody knows it"})
    assert [(one.host, one.text) for one in told if isinstance(one, Progress)] == [("build1", "building 3 of 7")]
    for one in told:
        table.show(one)
    assert table._saying == {"web1": "build1: building 3 of 7"}
    assert list(reports.hosts) == ["web1", "web2"]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_fifty_hosts_fit_every_terminal(width: int) -> None:
    out = io.StringIO()
    table = Table(Console(file=out, width=width, height=24, force_terminal=True, color_system=None))
    names = [f"web{number}.example.org" for number in range(50)]
    reports = RunnerEvents(Operation.DEPLOY, {name: HostResult(name) for name in names}, table.show)
    for name in names[:30]:
        reports.handle(started(name, "flake_build"))
        reports.handle({"event": "verbose", "stdout": f"{name}: building 3 of 700: {'long-name-' * 20}"})
    reports.handle(result(names[40], "flake_build", "unreachable", msg="gone"))
    table._run = Fifty(reports)  # type: ignore[assignment]
    table.console.print(table._live_view())
    lines = out.getvalue().splitlines()
    assert len(lines) <= 24
    assert all(len(line) <= width for line in lines)
    # What failed comes first, then what works; how many more there are is said.
    assert "unreachable" in lines[1]
    assert "building" in lines[2]
    assert "19 waiting" in out.getvalue()


PROFILES = [
    {"name": "system-manager", "kind": "system-manager", "user": "root", "profile": "/p", "state": "committed"},
    {"name": "home-manager of al", "kind": "home-manager", "user": "al", "profile": "~/p", "state": "not-begun"},
]


@pytest.mark.parametrize(
    ("operation", "events", "outcome"),
    [
        (Operation.REBOOT, [result("host1", "system_reboot", state="rebooted"), STATS], Outcome.DONE),
        (Operation.REBOOT, [result("host1", "system_reboot", state="not-needed"), STATS], Outcome.UNCHANGED),
        (Operation.REBOOT, [result("host1", "system_reboot", state="would-reboot"), STATS], Outcome.WOULD_CHANGE),
        (Operation.REBOOT, [result("host1", "system_reboot", "failed", reason="not-back", msg="no")], Outcome.UNKNOWN),
        (
            Operation.REBOOT,
            [result("host1", "system_reboot", "failed", reason="busy", msg="no"), STATS],
            Outcome.FAILED,
        ),
        (Operation.REBOOT, [started("host1", "system_reboot")], Outcome.UNKNOWN),
        (Operation.TRIAL, [result("host1", "system_reboot", state="committed"), STATS], Outcome.DEPLOYED),
        (Operation.TRIAL, [result("host1", "system_reboot", "failed", state="reverted"), STATS], Outcome.ROLLED_BACK),
        (Operation.TRIAL, [result("host1", "system_reboot", "failed", state="unknown"), STATS], Outcome.UNKNOWN),
        (Operation.TRIAL, [result("host1", "system_reboot", "failed", state="unconfirmed"), STATS], Outcome.FAILED),
        (Operation.BUILD, [result("host1", "flake_build", toplevel="x", changed=False), STATS], Outcome.DONE),
        (Operation.BUILD, [result("host1", "flake_build", "failed", msg="no"), STATS], Outcome.FAILED),
        (Operation.DIFF, [result("host1", "system_diff", changes=CHANGES), STATS], Outcome.DONE),
        (Operation.DIFF, [result("host1", "system_diff", changes=None), STATS], Outcome.UNCHANGED),
        (Operation.DIFF, [result("host1", "system_diff", "failed", msg="no"), STATS], Outcome.FAILED),
        (
            Operation.PROFILES,
            [result("host1", "profile_deploy", state="committed", profiles=PROFILES), STATS],
            Outcome.DEPLOYED,
        ),
        (Operation.PROFILES, [result("host1", "profile_deploy", state="unchanged"), STATS], Outcome.UNCHANGED),
        (Operation.PROFILES, [result("host1", "profile_deploy", state="would-test"), STATS], Outcome.WOULD_CHANGE),
        (
            Operation.PROFILES,
            [result("host1", "profile_deploy", "failed", state="rolled-back", profiles=PROFILES, msg="no"), STATS],
            Outcome.ROLLED_BACK,
        ),
        # One is live, and the next was refused before it was begun.
        (
            Operation.PROFILES,
            [result("host1", "profile_deploy", "failed", profiles=PROFILES, msg="no"), STATS],
            Outcome.FAILED,
        ),
        # Nobody knows how far it is.
        (Operation.PROFILES, [started("host1", "profile_deploy")], Outcome.UNKNOWN),
        (Operation.GENERATIONS, [result("host1", "system_generations", changed=True), STATS], Outcome.DONE),
        (Operation.GENERATIONS, [result("host1", "system_generations", changed=False), STATS], Outcome.UNCHANGED),
        (
            Operation.GENERATIONS,
            [result("host1", "system_generations", "failed", changed=True, msg="no"), STATS],
            Outcome.FAILED,
        ),
    ],
)
def test_outcome_of_what_is_no_deployment(operation: Operation, events: list[dict[str, Any]], outcome: Outcome) -> None:
    reports, _told = read(*events, operation=operation)
    host = reports.hosts["host1"]
    assert host.outcome is outcome
    if host.profiles and outcome is not Outcome.FAILED:
        assert detail(host) == "system-manager committed; home-manager of al not-begun"


def test_a_profile_that_is_tried_is_left_to_the_host() -> None:
    """A revocation is of systems, and would say that nothing waits."""
    for module, waits in (("profile_deploy", []), ("flake_deploy", ["host1"])):
        operation = Operation.PROFILES if module == "profile_deploy" else Operation.DEPLOY
        reports, _told = read(started("host1", module), operation=operation)
        assert reports.may_wait() == waits
        reports.end(interrupted=True)
        assert reports.hosts["host1"].outcome is (Outcome.INTERRUPTED if waits else Outcome.UNKNOWN)
