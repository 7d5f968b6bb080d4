# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command: exit codes, the plan and its question, passwords, signals, and whoever reads its output."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from unit.package.faking import OLD, FakeRunner, Playing, deployed, plays, result, started, stats, that_plays

from deploy_flake import __version__, cli

DEPLOY = ["nixos://web1/x", "--flake", "."]


def at_terminal(monkeypatch: pytest.MonkeyPatch, answer: str | None = None) -> None:
    """Have a person sit there, who answers the question of the plan."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    def asked(_question: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", asked)


def playing_success(monkeypatch: pytest.MonkeyPatch) -> FakeRunner:
    return plays(monkeypatch, that_plays(*deployed("web1"), stats("web1")))


@pytest.mark.parametrize(
    ("events", "code"),
    [
        (deployed("web1"), 0),
        ([result("web1", "system_test", "failed", state="rolled-back", msg="no")], 4),
        ([result("web1", "flake_build", "failed", msg="no")], 1),
        ([result("web1", "flake_build", "unreachable", msg="no")], 3),
    ],
)
def test_exit_code(monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]], code: int) -> None:
    plays(monkeypatch, that_plays(*events, stats("web1")))
    assert cli.main(DEPLOY) == code


def test_json_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    playing_success(monkeypatch)
    assert cli.main([*DEPLOY, "--instrumentation", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["started", "phase", "result", "ended"]
    assert lines[-1]["exit_code"] == 0


@pytest.mark.parametrize(
    ("argv", "playbook", "given"),
    [
        (DEPLOY, "deploy", {"deploy_flake_flake": "."}),
        (["deploy", *DEPLOY, "--test", "skip"], "deploy", {"deploy_flake_test": False}),
        (["rollback", "web1", "--to", "3"], "rollback", {"deploy_flake_generation": 3}),
        (["rollback", "web1", "--to", OLD], "rollback", {"deploy_flake_rollback_toplevel": OLD}),
        (["revoke", "web1", "--reason", "why"], "revoke", {"deploy_flake_reason": "why"}),
        (["status", "web1", "--flake", "."], "status", {"deploy_flake_flake": "."}),
        (["status", "web1", "--generations"], "status", {"deploy_flake_revisions": True}),
        (["diff", *DEPLOY], "deploy", {"deploy_flake_flake": "."}),
        (["diff", "web1", "--from", "3"], "diff", {"deploy_flake_compare_from": "3"}),
        (["diff", "web1", "--to", "booted", "--reconnect-timeout", "9"], "diff", {"deploy_flake_compare_to": "booted"}),
        (
            ["profiles", *DEPLOY, "--profile", "system-manager", "--profile", "home-manager,user=al,first=true"],
            "profiles",
            {
                "deploy_flake_flake": ".",
                "deploy_flake_profiles": [
                    {"kind": "system-manager"},
                    {"kind": "home-manager", "user": "al", "first": "true"},
                ],
            },
        ),
        (["build", *DEPLOY], "build", {"deploy_flake_flake": "."}),
        (["build", "web1"], "build_by_hostname", {"deploy_flake_flake": "."}),
        # Nobody has to say which configuration is its own.
        (["build", "web1", "--attribute", "x.y"], "build", {"deploy_flake_attribute": "x.y"}),
        (["build", "web1", "--file", "galaxy.yml"], "build", {"deploy_flake_file": "galaxy.yml"}),
        (["build", *DEPLOY, "--out-link", "/r"], "build", {"deploy_flake_out_link": "/r"}),
        (["trial", *DEPLOY, "--serial", "2"], "trial", {"deploy_flake_serial": "2"}),
        (["trial", "web1"], "trial_by_hostname", {}),
        (["reboot", "web1"], "reboot", {"deploy_flake_only_if_needed": True}),
        (["reboot", "web1", "--always"], "reboot", {"deploy_flake_only_if_needed": False}),
        (
            ["generations", "web1", "--keep", "0", "--collect-garbage"],
            "generations",
            {"deploy_flake_keep": 0, "deploy_flake_collect_garbage": True},
        ),
    ],
)
def test_commands(monkeypatch: pytest.MonkeyPatch, argv: list[str], playbook: str, given: dict[str, Any]) -> None:
    seen: dict[str, Any] = {}

    def script(playing: Playing) -> None:
        seen.update(playing.variables)
        playing.play(*deployed("web1"), stats("web1"))

    fake = plays(monkeypatch, script)
    assert cli.main(argv) == 0
    assert fake.calls[0].playbook == f"deploy_flake.nixos.{playbook}"
    assert given.items() <= seen.items()


def test_diff_is_a_deploy_in_check_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = playing_success(monkeypatch)
    at_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    assert cli.main(["diff", *DEPLOY]) == 0
    assert {"--check", "--diff"} <= {*fake.calls[0].arguments}


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--artifacts", "x"],
        ["a", "-i", "b"],
        ["a b"],
        ["diff", "a", "--from", "1", "--flake", "."],
        ["diff", "a", "--to", "1", "--all-or-nothing"],
        ["profiles", "a", "--flake", "."],
    ],
)
def test_usage_errors_touch_no_host(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    fake = plays(monkeypatch)
    assert cli.main(argv) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("deploy-flake: ")
    assert fake.calls == []


@pytest.mark.parametrize("profile", ["kind=home-manager", "home-manager,user", "", ",user=al", "home-manager,=al"])
def test_a_profile_that_is_none_touches_no_host(monkeypatch: pytest.MonkeyPatch, profile: str) -> None:
    fake = plays(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        cli.main(["profiles", *DEPLOY, "--profile", profile])
    assert (ended.value.code, fake.calls) == (2, [])


def test_help_has_everything_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: deploy-flake [COMMAND] [OPTION]... [DESTINATION]...")
    for heading in ("commands:", "hosts:", "output:", "what to deploy:", "exit codes:", "examples:", "environment:"):
        assert text.count(f"\n{heading}") == 1, heading
    for option in ("--version", "--flake FLAKE", "--all-or-nothing", "--instrumentation"):
        assert f"  {option}" in text, option


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"deploy-flake {__version__}\n")


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("Yes", 0), ("n", 130), ("", 130), (None, 130)])
def test_a_person_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str | None, code: int
) -> None:
    fake = playing_success(monkeypatch)
    at_terminal(monkeypatch, answer)
    assert cli.main([*DEPLOY, "--instrumentation", "plain"]) == code
    assert len(fake.calls) == (1 if code == 0 else 0)
    assert "Deploy . to\n  web1  x\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv", [[*DEPLOY, "--yes"], [*DEPLOY, "--check"], ["status", "web1"], [*DEPLOY, "--instrumentation", "json"]]
)
def test_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    fake = playing_success(monkeypatch)
    at_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    assert cli.main(argv) == 0
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("more", "setting", "asked"), [(["-K"], "", True), ([], "True", True), ([], "", False), ([], "no", False)]
)
def test_password_of_sudo(monkeypatch: pytest.MonkeyPatch, more: list[str], setting: str, asked: bool) -> None:
    fake = playing_success(monkeypatch)
    at_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("ANSIBLE_BECOME_ASK_PASS", setting)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "secret")
    assert cli.main([*DEPLOY, "--yes", *more]) == 0
    passwords = fake.calls[0].given["passwords"]
    assert (list(passwords.values()) if passwords else []) == (["secret"] if asked else [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    # nohup, which may have started the tests, has it ignored.
    inherited = signal.signal(number, signal.SIG_DFL)
    before = signal.getsignal(number)

    def script(playing: Playing) -> None:
        playing.play(started("web1", "flake_build"))
        # Before the command listens for it, the signal would end the tests.
        while signal.getsignal(number) == before:
            time.sleep(0.001)
        signal.pthread_kill(threading.main_thread().ident or 0, number)
        while not playing.must_end():
            pass

    plays(monkeypatch, script)
    try:
        assert cli.main([*DEPLOY, "--instrumentation", "plain"]) == 130
        assert f"{number.name}: stopping" in capsys.readouterr().out
        assert signal.getsignal(number) == before
    finally:
        signal.signal(number, inherited)


def test_table_that_cannot_be_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is loaded while hosts are being dealt with, which are not to feel it."""
    playing_success(monkeypatch)
    monkeypatch.setitem(sys.modules, "deploy_flake.table", None)
    assert cli.main([*DEPLOY, "--instrumentation", "tui"]) == 0
    said = capsys.readouterr()
    assert "1 deployed" in said.out
    assert "the table cannot be shown: ModuleNotFoundError" in said.err


def test_whoever_reads_may_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As `head` does: the hosts do not feel it, and the exit code is theirs."""

    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return spare.fileno()

    playing_success(monkeypatch)
    with (tmp_path / "spare").open("w") as spare:
        gone = Gone()
        monkeypatch.setattr(sys, "stdout", gone)
        # What comes last is not an event: it ends the command.
        monkeypatch.setattr("deploy_flake.display.Plain.finish", lambda *_arguments: None)
        assert cli.main(DEPLOY) == 0
        assert os.path.samestat(os.fstat(spare.fileno()), os.stat(os.devnull))


@pytest.mark.parametrize(("ends", "code"), [(lambda: 4, 4), (None, 1)])
def test_console_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: Any, code: int) -> None:
    def broken() -> int:
        raise BrokenPipeError

    with (tmp_path / "out").open("w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(cli, "main", ends or broken)
        with pytest.raises(SystemExit) as ended:
            cli.run()
    assert ended.value.code == code


@pytest.mark.parametrize("program", [["-m", "deploy_flake"], ["-c", "from deploy_flake.cli import run; run()"]])
def test_as_a_program(program: list[str]) -> None:
    """In a locale that has no arrow, and with nothing imported that takes a moment."""
    code = [*program, "--version"]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    done = subprocess.run([sys.executable, *code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"deploy-flake {__version__}\n"
