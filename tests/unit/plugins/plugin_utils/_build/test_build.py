# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A build on a host that plays what the command `build` would answer."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.building import DERIVATION, REFERENCE, SYSTEM, built, done, failed, log, said, settings
from unit.fake_host import FakeHost

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build import unit_build
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

EVAL_ERRORS = Path(__file__).parent / "eval_errors"

NAMES = {"value": json.dumps(["host1", "host2"]), "status": "0"}


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


def refused(host: FakeHost, directory: Path, **given: Any) -> tuple[str, str]:
    """The reason and the message of a build that fails."""
    with pytest.raises(HostError) as error:
        built(host, directory, **given)
    return error.value.reason, str(error.value)


def test_start_and_success(tmp_path: Path) -> None:
    host = FakeHost([done(log("success"), boot_id="b")])
    result, answer = built(host, tmp_path, build_args=["--impure", "$x"], nix_config="cores = 1", build_timeout=9)
    assert result == {
        "changed": True,
        "toplevel": SYSTEM,
        "outputs": {"out": SYSTEM},
        "valid": True,
        "derivation": DERIVATION,
        "configuration": "host1",
        "built": 3,
        "copied": 0,
        "downloaded_bytes": 0,
        "attached": False,
    }
    assert answer.get("boot_id") == "b"
    (asked,) = host.asked
    given = asked.inputs
    assert shlex.split(given["nix_arguments"])[-3:] == [
        "--impure",
        "$$x",
        f"{REFERENCE}#nixosConfigurations.%22host1%22.config.system.build.toplevel",
    ]
    expected = {"may_start": "yes", "offset": "0", "login_user": "admin", "build_limit": "9", "nix_config": "cores = 1"}
    expected |= {
        "sources": REFERENCE.partition("?")[0].removeprefix("path:"),
        "paths": "",
        "nar_size": "",
        "look": "no",
    }
    assert {name: given[name] for name in expected} == expected
    assert (asked.data, asked.limit) == (b"", 3 + 5 + 120)


def test_nothing_was_built(tmp_path: Path) -> None:
    result, _answer = built(FakeHost([done(log("nothing-to-do"))]), tmp_path, configuration="other")
    assert (result["changed"], result["configuration"]) == (False, "other")


def test_the_look_goes_along(tmp_path: Path) -> None:
    host = FakeHost([done(unchanged="yes")])
    look = {"specialisation": "", "mode": "test", "over_ssh": "yes", "allow": ""}
    _result, answer = built(host, tmp_path, look)
    assert (host.asked[0].inputs["look"], host.asked[0].inputs["mode"]) == ("yes", "test")
    assert answer.get("unchanged") == "yes"


def test_the_log_is_asked_for_from_where_it_was_read(tmp_path: Path) -> None:
    data = log("success")
    pieces = [data[:100], data[100:3000], data[3000:]]
    host = FakeHost([{"log": said(pieces[0])}, {"log": said(pieces[1])}, done(pieces[2])])
    result, _answer = built(host, tmp_path)
    assert result["built"] == 3
    assert [asked.inputs["offset"] for asked in host.asked] == ["0", "100", "3000"]
    assert [asked.inputs["may_start"] for asked in host.asked] == ["yes", "no", "no"]
    assert len({asked.inputs["name"] for asked in host.asked}) == 1


def test_a_build_that_runs_already_is_followed(tmp_path: Path) -> None:
    host = FakeHost([{"log": "", "attached": "yes"}, done(log("success"))])
    result, _answer = built(host, tmp_path)
    assert result["attached"] is True
    assert host.told[0] == "is building this already; following that build"


def test_another_arguments_build_has_another_name(tmp_path: Path) -> None:
    names = set()
    for given in ({}, {"configuration": "x"}, {"build_args": ["--impure"]}, {"toplevel": SYSTEM}):
        host = FakeHost([done()])
        built(host, tmp_path, **given)
        names.add(host.asked[0].inputs["name"])
    assert len(names) == 4


def test_one_that_somebody_else_tidied_up_is_begun_again(tmp_path: Path) -> None:
    host = FakeHost([{"log": said(b"half a line")}, {"gone": "yes"}, done(log("nothing-to-do"))])
    result, _answer = built(host, tmp_path)
    assert [asked.inputs["may_start"] for asked in host.asked] == ["yes", "no", "yes"]
    assert host.asked[2].inputs["offset"] == "0"
    assert result["changed"] is False


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("timeout 15", "could not build 'host1'; its system is untouched. The build did not end within 7 s"),
        ("killed", "The build was killed, or could not write its result to /run, or the host was restarted"),
        ("exit-code 127", "\nnix ended with 127"),
        (
            "oom-kill KILL",
            (
                "The build was killed by the kernel, since the host was out of memory (oom-kill).\n"
                "The host needs more memory"
            ),
        ),
        ("signal KILL", "The build was killed (signal KILL), perhaps for want of memory.\nThe host needs"),
        ("core-dump ABRT", "\nnix ended with ABRT"),
        # An end without a system is none.
        ("success 0", "\nnix ended with 0"),
    ],
)
def test_ends_without_a_system(tmp_path: Path, result: str, words: str) -> None:
    reason, text = refused(FakeHost([failed(result=result)]), tmp_path, build_timeout=7)
    assert reason == Refusal.BUILD_FAILED
    assert words in text


def test_failure_of_a_derivation(tmp_path: Path) -> None:
    _reason, text = refused(FakeHost([failed(log("failure"))]), tmp_path)
    lines = text.splitlines()
    assert lines[0] == "host1 could not build 'host1'; its system is untouched."
    assert lines[1].startswith("error: builder for '/nix/store/91ya254g")
    assert lines[2].startswith("Failing derivation: /nix/store/91ya254g")
    assert (lines[3], lines[4], lines[-1]) == ("Its last lines:", "  broken line 16", "  err red")


def test_warnings_are_for_those_who_ask(tmp_path: Path) -> None:
    host = FakeHost([done(log("warnings"))])
    built(host, tmp_path)
    assert "use `new' instead" in host.told


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('["good", "web"]', "The flake has these nixosConfigurations: good, web."),
        ("[]", "The flake has these nixosConfigurations: none."),
        ("", "The flake has no nixosConfigurations that could be listed."),
        (json.dumps([f"node-{number}" for number in range(20)]), "these nixosConfigurations: node-0, node-1,"),
        (json.dumps([*(f"x{number}" for number in range(21)), "host2"]), "22 nixosConfigurations, among them host2."),
        (json.dumps([f"{number}" for number in range(21)]), "21 nixosConfigurations, among them 0, 1, 2, 3, 4, 5,"),
    ],
)
def test_a_name_that_the_flake_does_not_have(tmp_path: Path, value: str, words: str) -> None:
    host = FakeHost([failed(log("missing-attribute")), {"value": value, "status": "0"}])
    _reason, text = refused(host, tmp_path)
    assert words in text
    assert host.commands == ["build", "nix_eval"]
    given = host.asked[1].inputs
    assert shlex.split(given["nix_arguments"])[-2:] == ["builtins.attrNames", f"{REFERENCE}#nixosConfigurations"]
    assert (given["eval_limit"], host.asked[1].limit) == ("120", 180)


def test_a_full_disk(tmp_path: Path) -> None:
    _reason, text = refused(FakeHost([failed(log("disk-full"), total="40960")]), tmp_path)
    assert (
        "No space left on device\nThere are 2 MiB free on /nix, of 40 MiB. Free some: the playbook generations" in text
    )
    assert "deploy_flake_collect_garbage" in text
    # It may be unknown how much there is.
    assert "There are 0 MiB free" in refused(FakeHost([failed(log("disk-full"), free="")]), tmp_path)[1]
    assert "MiB free" not in refused(FakeHost([failed(log("failure"))]), tmp_path)[1]


MEMORY: dict[str, Any] = {"memory": "2097152", "memory_available": "10240", "swap": "0"}


@pytest.mark.parametrize(
    "answer",
    [
        failed(result="oom-kill KILL", **MEMORY),
        failed(result="signal KILL", **MEMORY),
        failed(
            b'@nix {"action":"msg","level":0,"msg":"error: builder for x failed due to signal 9 (Killed)"}\n', **MEMORY
        ),
        failed(b"terminate called after throwing an instance of 'std::bad_alloc'\n", **MEMORY),
    ],
    ids=["oom-kill", "signal", "builder", "nix itself"],
)
def test_too_little_memory(tmp_path: Path, answer: dict[str, Any]) -> None:
    _reason, text = refused(FakeHost([answer]), tmp_path)
    assert "The host has 2048 MiB of memory and no swap, and 10 MiB of the memory are free now." in text
    assert "'--max-jobs=1' and '--cores=1' in build_args" in text
    assert "MiB of memory" not in refused(FakeHost([failed(log("failure"), **MEMORY)]), tmp_path)[1]


def test_too_little_memory_to_evaluate(tmp_path: Path) -> None:
    for words, status in (("error: out of memory", "1"), ("", "137")):
        host = FakeHost([{"status": status, "error": words, **MEMORY, "swap": "4096"}])
        with pytest.raises(HostError, match=r"The host has 2048 MiB of memory and 4 MiB of swap"):
            built(host, tmp_path, check_mode=True, check_builds=False)


def test_room_is_looked_at_before_the_build(tmp_path: Path) -> None:
    host = FakeHost([done()])
    built(host, tmp_path, min_free_space={"nix": 7})
    assert host.asked[0].inputs["need_nix_kib"] == str(7 * 1024)


def test_too_little_room_for_more_than_what_is_there(tmp_path: Path) -> None:
    said = "error: Unable to start any build"
    line = b"@nix " + json.dumps({"action": "msg", "level": 0, "msg": said}).encode() + b"\n"
    reason, text = refused(FakeHost([failed(line, short="7")]), tmp_path)
    assert reason == Refusal.NO_SPACE
    assert "host1 has 7 KiB free on /nix, and needs 32768 KiB before it builds. Nothing was built" in text
    assert said in text and "deploy_flake_min_free_space.nix" in text
    reason, _text = refused(FakeHost([failed(line, short="7")]), tmp_path, toplevel=SYSTEM)
    assert reason == Refusal.NO_SPACE


def printed(said: str) -> bytes:
    """A log of Nix with this message alone."""
    return b"@nix " + json.dumps({"action": "msg", "level": 0, "msg": said}).encode() + b"\n"


@pytest.mark.parametrize(
    ("data", "result", "reason", "words"),
    [
        (log("lock-file"), "exit-code 1", Refusal.NOT_LOCKED, "nix flake lock"),
        (printed("error: undefined variable 'x'"), "exit-code 1", Refusal.BUILD_FAILED, "undefined variable 'x'"),
        (printed("error: Unable to start any build"), "timeout 15", Refusal.BUILD_FAILED, "did not end within"),
        (b"", "oom-kill 9", Refusal.BUILD_FAILED, "out of memory"),
        (b"", "killed", Refusal.BUILD_FAILED, "killed, or could not write"),
        (
            printed("error: unable to download 'https://x.org/a': Could not resolve host"),
            "exit-code 1",
            Refusal.INPUT_NOT_FETCHED,
            "Could not resolve host",
        ),
    ],
)
def test_little_room_hides_no_other_reason(
    tmp_path: Path, data: bytes, result: str, reason: Refusal, words: str
) -> None:
    found, text = refused(FakeHost([failed(data, result, short="7")]), tmp_path)
    assert (found, words in text) == (reason, True), text
    assert text.splitlines()[-1].startswith("host1 has 7 KiB free on /nix, and needs 32768 KiB before it builds: free")
    assert "7 KiB free" not in refused(FakeHost([failed(data, result)]), tmp_path)[1]
    if not data:
        found, text = refused(FakeHost([failed(data, result, short="7")]), tmp_path, toplevel=SYSTEM)
        assert (found, "7 KiB free" in text) == (Refusal.NOT_THERE, True)


def test_time_that_was_too_short(tmp_path: Path) -> None:
    _reason, text = refused(
        FakeHost([failed(log("substitution")[:-1], result="timeout 15")]), tmp_path, build_timeout=7
    )
    assert "did not end within 7 s. It was " in text
    assert "Raise build_timeout (deploy_flake_build_timeout)" in text


def test_a_lock_file_that_is_not_whole(tmp_path: Path) -> None:
    reason, text = refused(FakeHost([failed(log("lock-file"))]), tmp_path)
    assert (reason, text.endswith("run 'nix flake lock' and deploy again.")) == ("not-locked", True)
    said = (EVAL_ERRORS / "no-update-lock-file.txt").read_text(encoding="utf-8")
    with pytest.raises(HostError) as error:
        built(FakeHost([{"status": "1", "error": said}]), tmp_path, check_mode=True, check_builds=False)
    assert (error.value.reason, str(error.value).endswith("and deploy again.")) == ("not-locked", True)


@pytest.mark.parametrize(
    ("build_args", "word"),
    [
        ([], "--no-update-lock-file"),
        (["--print-build-logs"], "--no-update-lock-file"),
        (["--override-input", "a", "path:/x"], "--no-write-lock-file"),
        (["--recreate-lock-file"], "--no-write-lock-file"),
        (["--no-write-lock-file"], "--no-write-lock-file"),
    ],
)
def test_nix_never_writes_a_lock_file(tmp_path: Path, build_args: list[str], word: str) -> None:
    """As root it would write it into the store."""
    building, evaluating = FakeHost([done()]), FakeHost([{"status": "0", "value": f"{SYSTEM} {DERIVATION}"}])
    built(building, tmp_path, build_args=build_args)
    built(evaluating, tmp_path, check_mode=True, check_builds=False, build_args=build_args)
    for host in (building, evaluating):
        arguments = shlex.split(host.asked[0].inputs["nix_arguments"])
        assert {"--no-update-lock-file", "--no-write-lock-file"} & set(arguments) == {word}


def test_what_is_no_system(tmp_path: Path) -> None:
    lacks = done(lacks=["nixos-version", "bin/switch-to-configuration"])
    reason, text = refused(FakeHost([lacks]), tmp_path)
    assert reason == Refusal.NOT_A_SYSTEM
    assert text == (
        f"the configuration 'host1' built {SYSTEM}, which is not a NixOS system: it has no nixos-version and no"
        " bin/switch-to-configuration"
    )
    reason, text = refused(FakeHost([lacks]), tmp_path, toplevel=SYSTEM)
    assert (reason, text.startswith(f"{SYSTEM} is not a NixOS system")) == (Refusal.NOT_A_SYSTEM, True)
    reason, text = refused(FakeHost([done(lacks=["bin/switch-to-configuration"])]), tmp_path)
    assert (reason, "system.switch.enable to false?" in text) == (Refusal.NOT_A_SYSTEM, True)
    assert f"{SYSTEM}, which cannot be switched to" in text


def test_a_system_that_was_built_already(tmp_path: Path) -> None:
    host = FakeHost([done(log("substitution"))])
    result, _answer = built(host, tmp_path, toplevel=SYSTEM)
    assert (result["configuration"], result["copied"], result["downloaded_bytes"]) == ("", 1, 3000858)
    given = host.asked[0].inputs
    assert (given["login_user"], given["sources"]) == ("root", "")
    assert shlex.split(given["nix_arguments"])[-1] == SYSTEM


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (failed(result="timeout 15"), "Fetching it did not end within 7200 s", False),
        (failed(result="killed"), "Fetching it was killed, or could not write its result to /run, or the host", False),
        (
            failed(result="oom-kill KILL"),
            "Fetching it was killed by the kernel, since the host was out of memory (oom-kill)",
            False,
        ),
        (failed(result="signal KILL"), "Fetching it was killed (signal KILL), perhaps for want of memory", False),
        (failed(log("disk-full")), "There are 2 MiB free on /nix", False),
        (failed(log("download-error")), "error: unable to download", True),
        (failed(result="exit-code 1"), "\nnix ended with 1\n", True),
        # Nix says that all is well of a path that it knows and does not have.
        ({"log": "", "result": "success 0"}, "\nnix ended with 0\n", True),
    ],
)
def test_a_system_that_cannot_be_fetched(tmp_path: Path, answer: dict[str, Any], words: str, hint: bool) -> None:
    reason, text = refused(FakeHost([answer]), tmp_path, toplevel=SYSTEM)
    assert reason == Refusal.NOT_THERE
    assert text.startswith(f"host1 does not have {SYSTEM}, and could not get it; its system is untouched")
    assert words in text
    assert (f"Copy it there ('nix copy --to ssh://192.0.2.1 {SYSTEM}')" in text) == hint


def test_a_host_without_an_address_is_named(tmp_path: Path) -> None:
    host = FakeHost([failed(log("download-error"))], over_ssh=False)
    assert "ssh://host1 " in refused(host, tmp_path, toplevel=SYSTEM)[1]


def test_in_check_mode_it_is_built_unless_told_otherwise(tmp_path: Path) -> None:
    host = FakeHost([done()])
    built(host, tmp_path, check_mode=True)
    assert host.commands == ["build"]
    # What is there already has no configuration to evaluate.
    host = FakeHost([done()])
    built(host, tmp_path, check_mode=True, check_builds=False, toplevel=SYSTEM)
    assert host.commands == ["build"]
    host = FakeHost([done()])
    built(host, tmp_path, check_builds=False)
    assert host.commands == ["build"]


@pytest.mark.parametrize("valid", [True, False])
def test_evaluation(tmp_path: Path, valid: bool) -> None:
    found = {"status": "0", "value": f"{SYSTEM} {DERIVATION}", "valid": SYSTEM if valid else DERIVATION}
    host = FakeHost([found])
    result, answer = built(host, tmp_path, check_mode=True, check_builds=False, build_timeout=50)
    assert (result["toplevel"], result["derivation"], result["valid"]) == (SYSTEM, DERIVATION, valid)
    assert (result["changed"], result["built"], result["configuration"]) == (not valid, 0, "host1")
    assert (result["attached"], result["copied"], result["downloaded_bytes"]) == (False, 0, 0)
    assert answer.fields == []
    assert (host.asked[0].inputs["eval_limit"], host.asked[0].limit) == ("50", 110)
    assert host.told == ["evaluates its configuration"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            {"status": "1", "error": "warning: x\nerror: boom"},
            "could not evaluate 'host1'; its system is untouched.\nerror: boom",
        ),
        ({"status": "124"}, "\nnix eval ended with 124"),
        ({"status": "0", "value": "garbage"}, "\nnix eval ended with 0"),
        ({"status": "1", "value": f"{SYSTEM} {DERIVATION}"}, "\nnix eval ended with 1"),
    ],
)  # fmt: skip
def test_evaluation_that_fails(tmp_path: Path, answer: dict[str, Any], words: str) -> None:
    reason, text = refused(FakeHost([answer]), tmp_path, check_mode=True, check_builds=False)
    assert reason == Refusal.EVALUATION_FAILED
    assert words in text


def test_evaluation_of_a_name_that_the_flake_does_not_have(tmp_path: Path) -> None:
    wrong = {"status": "1", "error": "error: flake 'path:/x' does not provide attribute 'y'"}
    _reason, text = refused(FakeHost([wrong, NAMES]), tmp_path, check_mode=True, check_builds=False)
    assert text.endswith("The flake has these nixosConfigurations: host1, host2.")


def test_with_a_reference_the_host_was_there_before(tmp_path: Path) -> None:
    host = FakeHost([AnsibleConnectionFailure("gone"), done()])
    built(host, tmp_path)
    assert host.resets == 1
    assert "lost the connection while building (a build that has begun goes on there)" in host.told[0]
    # The first contact: whoever cannot be reached is unreachable.
    with pytest.raises(AnsibleConnectionFailure):
        built(FakeHost([AnsibleConnectionFailure("gone"), done()]), tmp_path, toplevel=SYSTEM)
    host = FakeHost([{"log": ""}, AnsibleConnectionFailure("gone"), done()])
    built(host, tmp_path, toplevel=SYSTEM)
    assert host.commands == ["build"] * 3


def test_no_answer_while_a_build_goes_on(tmp_path: Path) -> None:
    no_answer = HostError("no answer", Refusal.NO_ANSWER)
    host = FakeHost([{"log": ""}, no_answer, done()])
    built(host, tmp_path)
    assert host.commands == ["build"] * 3
    # Nothing had begun.
    with pytest.raises(HostError, match="no answer"):
        built(FakeHost([no_answer]), tmp_path)


def test_progress_is_told_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = log("success").splitlines(keepends=True)
    # The clock stands still at each of these looks; a line that stays the same is told again after eight seconds.
    times = iter([100.0, *(100.0 + seconds for seconds in (0, 0, 1.9, 2.0, 2.0, 9.9, 9.9, 10.0, 10.0, 10.0, 10.0))])
    monkeypatch.setattr(unit_build, "time", SimpleNamespace(monotonic=lambda: next(times)))
    first = next(number for number, line in enumerate(lines) if b'"building' in line)
    second = next(number for number, line in enumerate(lines) if b'"building' in line and number > first)
    pieces = [b"".join(lines[: first + 1]), b"".join(lines[first + 1 : second + 1]), b"", b"", b""]
    host = FakeHost([*({"log": said(piece)} for piece in pieces), done()])
    built(host, tmp_path)
    told = [line for line in host.told if "> " not in line]
    assert told == ["building 1 of 3: dep", "building 2 of 3: other", "still building 2 of 3: other, for 10 s"]


def test_what_a_builder_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it for who wants more, the last line for everybody; what the host has left out is said."""
    start = b'@nix {"action":"start","id":1,"type":105,"text":"","fields":["/nix/store/%s-hello.drv","",1,1]}\n' % (
        b"a" * 32
    )

    def line(text: str) -> bytes:
        return b"@nix " + json.dumps({"action": "result", "id": 1, "type": 101, "fields": [text]}).encode() + b"\n"

    times = iter(float(number) for number in range(0, 1000, 9))
    monkeypatch.setattr(unit_build, "time", SimpleNamespace(monotonic=lambda: next(times)))
    first, rest = start + line("one") + line("two")[:20], b'her"]}\n' + line("three")
    host = FakeHost([{"log": said(first)}, {"log": said(rest), "log_skipped": "4096"}, done()])
    built(host, tmp_path)
    assert host.told[:4] == [
        "hello> one",
        "building 1 of 1: hello",
        "prints more than is kept: 4 KiB of its log are left out",
        "hello> three",
    ]
    assert re.fullmatch(r"still building 1 of 1: hello, for \d+ s: three", host.told[4])
    assert [asked.inputs["offset"] for asked in host.asked] == [
        "0",
        str(len(first)),
        str(len(first) + 4096 + len(rest)),
    ]


@pytest.mark.parametrize("path", ["/etc", f"{SYSTEM}/bin", DERIVATION])
def test_a_toplevel_that_is_no_system(path: str) -> None:
    with pytest.raises(HostError) as error:
        settings(toplevel=path)
    assert error.value.reason == Refusal.NOT_A_STORE_PATH


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ("root @wheel", "its allowed-users are: root @wheel"),
        ("", "its allowed-users are: none"),
        ("*", "the directory of its socket is closed to them"),
    ],
)
@pytest.mark.parametrize("evaluates", [False, True])
def test_a_user_whom_nix_does_not_let_in(tmp_path: Path, allowed: str, words: str, evaluates: bool) -> None:
    shut_out: dict[str, Any] = {"shut_out": "admin", "allowed_users": allowed}
    answer = {"status": "1", "error": "error: reset by peer", **shut_out} if evaluates else failed(**shut_out)
    reason, message = refused(FakeHost([answer]), tmp_path, check_builds=not evaluates, check_mode=evaluates)
    assert reason == Refusal.SHUT_OUT
    assert message.startswith("Nix's daemon on host1 does not let the login user 'admin' in")
    assert words in message
    assert "ansible_user" in message


@pytest.mark.parametrize("evaluates", [False, True])
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("error: undefined variable 'x'", {Refusal.BUILD_FAILED, Refusal.EVALUATION_FAILED}),
        ("error: unable to download 'https://x': Recv failure: Connection reset by peer", {Refusal.INPUT_NOT_FETCHED}),
        (
            "error: … while fetching the input 'x'\n error: cannot open connection to remote store 'daemon': error: x",
            {Refusal.SHUT_OUT},
        ),
        (
            "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Permission denied",
            {Refusal.SHUT_OUT},
        ),
    ],
)
def test_what_nix_has_said_goes_before_whom_it_lets_in(
    tmp_path: Path, said: str, reason: set[Refusal], evaluates: bool
) -> None:
    """The host asks the daemon once more after a failure, and may get no answer then."""
    shut_out: dict[str, Any] = {"shut_out": "admin", "allowed_users": "*"}
    line = b"@nix " + json.dumps({"action": "msg", "level": 0, "msg": said}).encode() + b"\n"
    answer = {"status": "1", "error": said, **shut_out} if evaluates else failed(line, **shut_out)
    found, message = refused(FakeHost([answer]), tmp_path, check_builds=not evaluates, check_mode=evaluates)
    assert found in reason
    assert (said in message) == (found != Refusal.SHUT_OUT)


def test_another_hosts_task_builds_the_system_of_its_own(tmp_path: Path) -> None:
    host = FakeHost([done()], name="builder")
    host.on_behalf_of = "web1"
    result, _answer = built(host, tmp_path)
    assert result["configuration"] == "web1"
    failing = FakeHost([failed()], name="builder")
    failing.on_behalf_of = "web1"
    assert refused(failing, tmp_path)[1].startswith("builder could not build 'web1'")


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("error: attribute 'dirtyRev' missing", "Commit the changes, or write"),
        ("error: unexpected flake input attribute 'submodules', at x", "needs Nix 2.27"),
    ],
)
def test_what_a_copy_of_the_source_cannot_have(tmp_path: Path, said: str, advice: str) -> None:
    line = b"@nix " + json.dumps({"action": "msg", "level": 0, "msg": said}).encode() + b"\n"
    assert advice in refused(FakeHost([failed(line)]), tmp_path)[1]
    host = FakeHost([{"status": "1", "error": said}])
    assert advice in refused(host, tmp_path, check_mode=True, check_builds=False)[1]
