# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run: what ansible-runner is told to do, how it ends, and how it is ended."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from unit.package.faking import OLD, Playing, deployed, plays, result, shown, started, stats, that_plays

import deploy_flake
from deploy_flake import ExitCode, OptionError, Outcome, Phase, Progress, Result, Run, RunOptions, Warned, left_behind
from deploy_flake.display import Plain

WAITS = result("web1", "system_test", state="window", deployment="d", decides_by="2026-01-01T00:00:00Z")


def begin(*destinations: str, **more: Any) -> Run:
    """Begin to deploy; hosts by hand have configurations."""
    return deploy_flake.deploy([f"nixos://{one}/x" for one in destinations or ["web1"]], ".", wait=False, **more)


def test_what_ansible_runner_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def look(playing: Playing) -> None:
        file = next(Path(word.partition("@")[2]) for word in playing.arguments if "@" in word)
        seen.update(variables=playing.variables, inventory=playing.inventory, mode=stat.S_IMODE(file.stat().st_mode))
        playing.play(*deployed("web1"), stats("web1"))
        playing.output = "PLAY RECAP"

    monkeypatch.setenv("ANSIBLE_FORKS", "")
    monkeypatch.setenv("ANSIBLE_CONFIG", "")
    fake = plays(monkeypatch, look)
    options = RunOptions(
        become_password="secret", verbosity=2, ssh_args="-J gate", variables={"deploy_flake_message": 1}
    )
    run = begin("admin@web1:2222", run=options, options=deploy_flake.DeployOptions(check=True, diff=True)).wait(60)
    (call,) = fake.calls
    assert call.playbook == "deploy_flake.nixos.deploy"
    assert {"--check", "--diff", "-vv", "--ssh-extra-args=-J gate", "--ask-become-pass"} < set(call.arguments)
    assert call.given["passwords"] == {r"BECOME password[^\n]*: *$": "secret"}
    assert call.given["forks"] == 32
    assert call.given["envvars"]["ANSIBLE_INVENTORY_ENABLED"] == "ansible.builtin.yaml"
    assert call.given["envvars"]["ANSIBLE_SKIP_TAGS"] == ""
    assert seen["variables"] == {"deploy_flake_flake": ".", "deploy_flake_toplevel": "", "deploy_flake_message": 1}
    assert seen["mode"] == 0o600
    assert seen["inventory"]["hosts"]["web1"] == {
        "ansible_host": "web1",
        "ansible_user": "admin",
        "ansible_port": 2222,
        "deploy_flake_configuration": "x",
    }
    assert (run.ok, run.exit_code, run.error, run.output) == (True, ExitCode.OK, "", "PLAY RECAP")
    assert run.seconds > 0
    # Nothing is left of it.
    assert not Path(call.given["private_data_dir"]).exists()


@pytest.mark.parametrize(
    ("there", "allowed", "code"),
    [
        (["web1"], True, ExitCode.OK),
        (["web1"], False, ExitCode.UNREACHABLE),
        ([], True, ExitCode.UNREACHABLE),
    ],
)
def test_hosts_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    there: list[str],
    allowed: bool,
    code: ExitCode,
) -> None:
    """The play that asks for names has them unreachable, and Ansible begins the next one without them."""
    absent = [name for name in ("web1", "web2") if name not in there]
    events = [result(name, "system_info", "unreachable", absent=True, msg=f"{name} is off") for name in absent]
    events += [event for name in there for event in deployed(name)]
    fake = plays(monkeypatch, that_plays(*events, stats("web1", "web2")))
    run = begin("web1", "web2", options=deploy_flake.DeployOptions(allow_unreachable=allowed)).wait(60)
    assert fake.calls
    assert run.exit_code is code
    assert run.absent == (absent if allowed else [])
    assert [run.hosts[name].outcome for name in absent] == [Outcome.UNREACHABLE] * len(absent)
    Plain().finish(run)
    line = f"not reached, and left as they were: {', '.join(absent)}"
    assert (line in capsys.readouterr().out) == allowed


def test_host_without_a_configuration_is_asked_for_its_hostname(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = plays(monkeypatch, that_plays(*deployed("web1"), stats("web1")))
    deploy_flake.deploy(["web1"], ".")
    assert fake.calls[0].playbook == "deploy_flake.nixos.deploy_by_hostname"


def test_builders_in_one_word_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, that_plays(shown("b2: building x"), *deployed("web1"), stats("web1")))
    told: list[deploy_flake.Event] = []
    begin("web1", on_event=told.append, run=RunOptions(variables={"deploy_flake_build_on": "b1, b2"})).wait(60)
    assert [one.text for one in told if isinstance(one, Progress) and one.host == "b2"] == ["building x"]


def test_existing_inventory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").touch()
    monkeypatch.chdir(tmp_path)
    fake = plays(monkeypatch, that_plays(*deployed("web7"), stats("web7")))
    options = RunOptions(inventory=["hosts.yml", "other,"], limit="web*", parallel=3, artifacts=tmp_path / "kept")
    run = deploy_flake.deploy(run=options)
    (call,) = fake.calls
    assert call.given["inventory"] == [str(tmp_path / "hosts.yml"), "other,"]
    assert call.given["forks"] == 3
    assert "--limit=web*" in call.arguments
    assert "ANSIBLE_INVENTORY_ENABLED" not in call.given["envvars"]
    assert list(run.hosts) == ["web7"]
    # What ansible-runner writes is kept, but for the environment, which may hold secrets.
    assert (call.artifacts / "stdout").exists()
    assert not (call.artifacts / "command").exists()


def test_it_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[deploy_flake.Event] = []
    goes_on, reached = threading.Event(), threading.Event()

    def script(playing: Playing) -> None:
        playing.play(started("web1", "system_test"))
        reached.set()
        goes_on.wait(60)
        playing.play(result("web1", "system_boot", state="committed"), stats("web1"))

    plays(monkeypatch, script)
    run = begin(on_event=told.append)
    assert reached.wait(60)
    assert (run.done, run.ok, run.phase("web1")) == (False, False, Phase.TESTING)
    with pytest.raises(TimeoutError):
        run.wait(0.01)
    goes_on.set()
    run.wait(60)
    assert [event.event for event in told] == ["started", "phase", "result", "ended"]
    assert told[-1].as_json()["outcomes"] == {"deployed": 1}


def test_status_has_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, remarks = [{"host": "web1", "system": "n"}], {"web1": ["it is odd"]}
    shows = result("web1", "fleet_status", rows=rows, remarks=remarks)
    plays(monkeypatch, that_plays(result("web1", "system_info", health="running"), shows, stats("web1")))
    run = deploy_flake.status(["web1"])
    assert (run.table, run.remarks, run.exit_code) == (rows, remarks, ExitCode.OK)


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ([result("web1", "system_revoke", state="rolled-back")], Outcome.ROLLED_BACK),
        ([result("web1", "system_info", open_deployment=None)], Outcome.UNCHANGED),
    ],
)
def test_host_that_rolls_back_is_what_a_revocation_is_for(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]], outcome: Outcome
) -> None:
    plays(monkeypatch, that_plays(*events, stats("web1")))
    run = deploy_flake.revoke(["web1"])
    assert (run.hosts["web1"].outcome, run.exit_code) == (outcome, ExitCode.OK)


@pytest.mark.parametrize(
    ("code", "output", "said"),
    [
        (
            4,
            "PLAY\n\nERROR! no such thing\nmore\n",
            "ended with 4 and did nothing. It said:\nERROR! no such thing\nmore",
        ),
        (1, "some\nlines\n", "ended with 1 and did nothing. It said:\nsome\nlines"),
        (2, "", "ended with 2 and did nothing."),
        (-9, "", "was killed."),
        (None, "", "was killed."),
    ],
)
def test_ansible_playbook_that_does_not_come_to_its_end(
    monkeypatch: pytest.MonkeyPatch, code: int | None, output: str, said: str
) -> None:
    def script(playing: Playing) -> None:
        playing.code, playing.output = code, output

    plays(monkeypatch, script)
    run = begin().wait(60)
    assert run.error == f"ansible-playbook {said}"
    assert (run.hosts["web1"].outcome, run.exit_code) == (Outcome.FAILED, ExitCode.FAILED)


def test_error_beside_the_hosts_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def script(playing: Playing) -> None:
        playing.play(*deployed("web1"))
        # As ansible-runner says it of one that it has killed because it was told to.
        playing.code = 254

    plays(monkeypatch, script)
    run = begin().wait(60)
    assert (run.hosts["web1"].outcome, run.exit_code) == (Outcome.DEPLOYED, ExitCode.FAILED)


def test_whoever_waits_hears_of_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def script(_playing: Playing) -> None:
        raise RuntimeError("broken")

    plays(monkeypatch, script)
    run = begin().wait(60)
    assert (run.error, run.exit_code) == ("RuntimeError: broken", ExitCode.FAILED)


@pytest.mark.parametrize("kind", ["started", "phase", "result", "ended"])
@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit("broken"), KeyboardInterrupt("broken")])
def test_listener_that_raises_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, kind: str, error: BaseException
) -> None:
    fake = plays(monkeypatch, that_plays(*deployed("web1"), stats("web1")))
    heard: list[str] = []

    def listener(event: deploy_flake.Event) -> None:
        heard.append(event.event)
        if event.event == kind:
            raise error

    run = begin(on_event=listener).wait(60)
    assert run.exit_code is ExitCode.FAILED
    assert run.error == f"on_event raised {type(error).__name__}: broken"
    # Hosts do not feel it; but where nothing has begun, nothing begins.
    assert run.hosts["web1"].outcome is (Outcome.FAILED if kind == "started" else Outcome.DEPLOYED)
    assert len(fake.calls) == (0 if kind == "started" else 1)
    assert heard[-1] == kind


def test_listener_that_waits_for_its_own_run(monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, that_plays(*deployed("web1"), stats("web1")))
    runs: list[Run] = []
    begun = threading.Event()

    def listener(event: deploy_flake.Event) -> None:
        if event.event == "result":
            # The run may be ahead of whoever began it.
            assert begun.wait(60)
            runs[0].wait()

    runs.append(begin(on_event=listener))
    begun.set()
    assert "on_event waits for the run that calls it" in runs[0].wait(60).error


def test_report_that_cannot_be_read_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"event": "runner_on_ok", "event_data": {"host": "web1", "res": 3}}
    plays(monkeypatch, that_plays(broken, *deployed("web1"), stats("web1")))
    run = begin().wait(60)
    assert "AttributeError" in run.error
    assert (run.exit_code, run.hosts["web1"].outcome) == (ExitCode.FAILED, Outcome.DEPLOYED)


@pytest.mark.parametrize("is_artifacts", [True, False])
def test_files_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_artifacts: bool) -> None:
    fake = plays(monkeypatch)
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    options = RunOptions(artifacts=tmp_path / "file/x") if is_artifacts else RunOptions()
    with pytest.raises(OptionError, match="cannot be written to"):
        deploy_flake.deploy(["nixos://web1/x"], "github:me/x", run=options)
    assert fake.calls == []


class Signals:
    """Notes the signals that are sent, and whose remains are ended, and is the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[int, int]] = []
        self.ended: list[int | None] = []
        self.now = 100.0
        monkeypatch.setattr(left_behind, "end", lambda pid, _run: self.ended.append(pid))
        monkeypatch.setattr(os, "kill", lambda pid, number: self.sent.append((pid, number)))
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def test_cancelled_before_ansible_playbook_has_said_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = Signals(monkeypatch)
    run: Run

    def script(playing: Playing) -> None:
        assert not playing.must_end()
        run.cancel()
        assert playing.must_end()
        playing.code = -9

    plays(monkeypatch, script)
    run = _not_begun()
    run.start().wait(60)
    assert (signals.sent, signals.ended) == ([], [None])
    # It is no error that it was killed, and the host was not touched.
    assert (run.interrupted, run.error, run.hosts["web1"].outcome) == (True, "", Outcome.INTERRUPTED)
    assert run.exit_code is ExitCode.INTERRUPTED


def test_cancelled_it_is_told_again_and_killed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = Signals(monkeypatch)
    run: Run
    interrupt = (77, signal.SIGINT)

    def script(playing: Playing) -> None:
        playing.play({"pid": 77, **started("web1", "flake_build")})
        assert not playing.must_end()
        run.cancel()
        assert signals.sent == [interrupt]
        assert not playing.must_end()
        assert signals.sent == [interrupt]
        signals.now += 1.5
        assert not playing.must_end()
        assert signals.sent == [interrupt, interrupt]
        signals.now += 10
        assert not playing.must_end()
        signals.now += 5
        assert playing.must_end()
        playing.code = 254

    plays(monkeypatch, script)
    run = _not_begun()
    run.start().wait(60)
    # Its workers have sessions of their own.
    assert signals.ended == [77]
    # The build goes on there, and nothing was tested.
    assert run.hosts["web1"].outcome is Outcome.INTERRUPTED
    # There is nothing to cancel any more.
    run.cancel()
    assert run.exit_code is ExitCode.INTERRUPTED


def test_cancelled_twice_it_leaves_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = Signals(monkeypatch)
    run: Run

    def script(playing: Playing) -> None:
        playing.play({"pid": 77, **started("web1", "system_test")}, WAITS)
        run.cancel()
        run.cancel()
        signals.now += 2
        assert not playing.must_end()
        signals.now += 2
        assert playing.must_end()

    fake = plays(monkeypatch, script)
    run = _not_begun()
    run.start().wait(60)
    assert len(fake.calls) == 1
    host = run.hosts["web1"]
    assert host.outcome is Outcome.UNKNOWN
    assert "by 2026-01-01T00:00:00Z at the latest" in host.error


def test_signal_to_one_that_has_gone_already(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_pid: int, _number: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", gone)
    run: Run

    def script(playing: Playing) -> None:
        playing.play({"pid": 77, **started("web1", "flake_build")})
        run.cancel()

    plays(monkeypatch, script)
    run = _not_begun()
    assert run.start().wait(60).exit_code is ExitCode.INTERRUPTED


def test_cancelled_hosts_that_wait_for_confirmation_are_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    Signals(monkeypatch)
    told: list[deploy_flake.Event] = []
    run: Run

    def deploys(playing: Playing) -> None:
        playing.play({"pid": 77, **started("web1", "system_test")}, WAITS, started("web2", "flake_build"))
        run.cancel()

    def revokes(playing: Playing) -> None:
        assert not playing.must_end()
        playing.play(started("web1", "system_revoke"))
        assert run.phase("web1") is Phase.REVOKING
        assert run.phase("web2") is Phase.BUILDING
        playing.play(result("web1", "system_revoke", state="rolled-back", system=OLD), stats("web1"))

    fake = plays(monkeypatch, deploys, revokes)
    run = _not_begun("web1", "web2", told=told)
    run.start().wait(60)
    revocation = fake.calls[1]
    assert revocation.playbook == "deploy_flake.nixos.revoke"
    assert "--limit=web1" in revocation.arguments
    assert "--check" not in revocation.arguments
    assert {name: host.outcome for name, host in run.hosts.items()} == {
        "web1": Outcome.ROLLED_BACK,
        "web2": Outcome.INTERRUPTED,
    }
    assert run.hosts["web1"].system == OLD
    assert run.exit_code is ExitCode.INTERRUPTED
    assert any(isinstance(event, Warned) and "web1" in event.text for event in told)
    # Each host is told of once.
    assert sorted(event.result.name for event in told if isinstance(event, Result)) == ["web1", "web2"]


def test_what_was_shown_of_both_playbooks_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    Signals(monkeypatch)
    run: Run

    def deploys(playing: Playing) -> None:
        playing.output = "first\n"
        playing.play({"pid": 77, **started("web1", "flake_deploy")}, shown("web1: [test] x"))
        run.cancel()

    def revokes(playing: Playing) -> None:
        playing.output = "second\n"
        playing.play(stats("web1"))

    plays(monkeypatch, deploys, revokes)
    run = _not_begun()
    run.start().wait(60)
    assert run.output == "first\nsecond\n"
    # It answered, and nothing was left to be revoked.
    assert run.hosts["web1"].outcome is Outcome.INTERRUPTED


def _not_begun(*names: str, told: list[deploy_flake.Event] | None = None) -> Run:
    """A run that its own script can cancel, with an argument that a revocation must not have."""
    destinations = [deploy_flake.Destination(name, configuration="x") for name in names or ["web1"]]
    listener = told.append if told is not None else None
    return Run(deploy_flake.Operation.DEPLOY, destinations, RunOptions(), {}, ["--check"], listener)


def test_wrong_variable_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible tells it of the first host; no other was touched either."""
    refused = result("web1", "fleet_validate", "failed", msg="the variables are wrong", reason="bad-option")
    plays(monkeypatch, that_plays(started("web1", "fleet_validate"), refused, stats("web1")))
    run = deploy_flake.deploy(["nixos://web1/a", "nixos://web2/b"], ".")
    assert run.exit_code == ExitCode.USAGE
    assert (run.hosts["web1"].outcome, run.hosts["web1"].reason) == (Outcome.FAILED, "bad-option")


def test_wrong_variable_of_a_later_batch_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = result("web2", "fleet_validate", "failed", msg="the variables are wrong", reason="bad-option")
    plays(monkeypatch, that_plays(*deployed("web1"), started("web2", "fleet_validate"), refused, stats("web1", "web2")))
    run = deploy_flake.deploy(["nixos://web1/a", "nixos://web2/b"], ".")
    assert run.exit_code == ExitCode.FAILED


@pytest.mark.parametrize(("events", "code"), [([stats()], 0), ([], 1)])
def test_inventory_without_a_host_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]], code: int
) -> None:
    """Nothing was deployed, and that is no success."""

    def script(playing: Playing) -> None:
        playing.play(*events)
        playing.code = code

    plays(monkeypatch, script)
    run = deploy_flake.deploy(flake="github:me/x", run=RunOptions(inventory=["web1,"], limit="nobody"))
    assert (run.hosts, run.exit_code) == ({}, ExitCode.USAGE)
    assert run.error
