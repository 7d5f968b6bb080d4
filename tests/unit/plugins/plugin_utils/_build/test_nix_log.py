# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs in `build_logs/`, recorded from Nix 2.26.3 with `nix build --log-format internal-json` (names replaced)."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.nix_log import BuildLog

LOGS = Path(__file__).parent / "build_logs"
BROKEN = "/nix/store/91ya254g6c5p7q0hqzmdcwrgqkxz6l6s-broken.drv"


def read(name: str) -> BuildLog:
    log = BuildLog()
    log.feed((LOGS / f"{name}.log").read_bytes())
    return log


def told(name: str) -> list[str]:
    """What a person is told while the log comes in, each time that it changes."""
    log, lines = BuildLog(), [""]
    for line in (LOGS / f"{name}.log").read_bytes().splitlines(keepends=True):
        log.feed(line)
        if log.progress() not in ("", lines[-1]):
            lines.append(log.progress())
    return lines[1:]


def event(**values: object) -> bytes:
    return b"@nix " + json.dumps(values).encode() + b"\n"


def start_build(identity: int, name: str) -> bytes:
    derivation = f"/nix/store/{'a' * 32}-{name}.drv"
    return event(action="start", id=identity, type=105, text=f"building '{derivation}'", fields=[derivation, "", 1, 1])


def error(message: str) -> bytes:
    return event(action="msg", level=0, msg=f"\x1b[31;1merror:\x1b[0m {message}")


def test_success() -> None:
    log = read("success")
    assert (log.built, log.builds_expected, log.copied, log.downloaded_bytes) == (3, 3, 0, 0)
    assert log.did_something
    assert (log.error, log.failed_derivations, log.log_tail, log.warnings) == ("", (), (), [])
    assert told("success") == [
        "evaluating the configuration",
        "building 1 of 3: dep",
        "built 1",
        "building 2 of 3: other",
        "built 2",
        "building 3 of 3: nixos-system-good",
        "building 3 of 3: nixos-system-good (buildPhase)",
        "built 3",
    ]


def test_nothing_to_do() -> None:
    log = read("nothing-to-do")
    assert not log.did_something
    assert log.progress() == ""


def test_substitution() -> None:
    log = read("substitution")
    assert (log.built, log.copied, log.paths_expected) == (1, 1, 1)
    assert log.downloaded_bytes == log.bytes_expected == 3000858
    lines = told("substitution")
    assert "downloading 'http://cache.example.org/nix-cache-info'" in lines
    assert "copying 1 of 1: firmware; downloaded 1.2 of 2.9 MiB" in lines
    assert lines[-2:] == ["building 1 of 1: nixos-system-web", "built 1, copied 1 path, downloaded 2.9 MiB"]


@pytest.mark.parametrize(("name", "built"), [("failure", 0), ("failure-through-daemon", 2)])
def test_failure_of_a_dependency(name: str, built: int) -> None:
    log = read(name)
    assert log.error == f"error: builder for '{BROKEN}' failed with exit code 3"
    assert log.failed_derivations == (BROKEN,)
    assert log.log_tail == (*(f"broken line {number}" for number in range(16, 40)), "err red")
    assert (log.built, log.did_something) == (built, bool(built))


def test_hash_mismatch() -> None:
    log = read("hash-mismatch")
    assert log.failed_derivations == ("/nix/store/qsid4ba0clm2rz00n53bfns5qdk13mkv-fixed.drv",)
    assert "got:    sha256-c8s4WKaHqElMozIwUwFigvPa051Cz2LKTnndoqrH2aw=" in log.error
    assert log.log_tail == ()


def test_missing_attribute() -> None:
    error = read("missing-attribute").error
    assert error.startswith("error: flake 'path:/srv/flake' does not provide attribute 'packages.")
    assert error.endswith("Did you mean good?")


def test_evaluation_error() -> None:
    log = read("evaluation-error")
    assert log.error.startswith("error:\n       … while calling the 'throw' builtin\n")
    assert log.error.endswith("error: this configuration is broken on purpose")
    assert log.failed_derivations == ()


def test_retries_are_one_warning() -> None:
    log = read("download-error")
    assert len(log.warnings) == 1
    assert log.warnings[0].startswith("unable to download 'http://cache.example.org/x': Could not connect to server")
    assert log.error.splitlines()[-1].startswith("       error: unable to download")


def test_warnings_of_the_configuration() -> None:
    assert read("warnings").warnings == ["The option `services.old' is deprecated.", "use `new' instead"]


def test_names_that_are_being_built() -> None:
    log = BuildLog()
    log.feed(event(action="start", id=1, type=104, text=""))
    log.feed(event(action="result", id=1, type=105, fields=[0, 9, 0, 0]))
    for number in range(1, 6):
        log.feed(start_build(number + 1, f"package-{number}"))
    assert log.building == tuple(f"package-{number}" for number in range(1, 6))
    assert log.progress() == "building 5 of 9: package-1, package-2, package-3, and 2 more"


def test_newer_words_for_a_failure() -> None:
    """As Nix 2.31 and newer say it."""
    log = BuildLog()
    log.feed(start_build(1, "curl") + event(action="result", id=1, type=101, fields=["no such header"]))
    store = "/nix/store/" + "a" * 32
    log.feed(
        error(
            f"Cannot build '{store}-curl.drv'.\n       Reason: builder failed with exit code 1.\n"
            f"       Output paths:\n         {store}-curl\n       Last 1 log lines:\n       > no such header\n"
            f"       For full logs, run:\n         nix log {store}-curl.drv"
        )
    )
    log.feed(error(f"Cannot build '{store}-system.drv'.\n       Reason: \x1b[31;1m1 dependency failed\x1b[0m."))
    log.feed(error("Build failed due to failed dependency"))
    assert log.failed_derivations == (f"{store}-curl.drv",)
    assert log.log_tail == ("no such header",)
    assert log.error == (
        f"error: Cannot build '{store}-curl.drv'.\n       Reason: builder failed with exit code 1.\n"
        f"       Output paths:\n         {store}-curl"
    )


def test_many_errors() -> None:
    log = BuildLog()
    for number in range(7):
        log.feed(start_build(number, str(number)) + error(f"builder for '/nix/store/{'a' * 32}-{number}.drv' failed"))
    assert len(log.failed_derivations) == 7
    assert log.error.splitlines()[3] == "(4 more errors)"


def test_only_a_consequence() -> None:
    """Where the first cause is nowhere in the log, its consequence is better than nothing."""
    log = BuildLog()
    log.feed(error("1 dependencies of derivation '/nix/store/x.drv' failed to build"))
    assert log.error == "error: 1 dependencies of derivation '/nix/store/x.drv' failed to build"


def test_what_is_not_from_nix() -> None:
    log = BuildLog()
    log.feed(b"sh: 1: nix: not found\n\n@nix is not JSON\n@nix {}\n@nix []\n@nix 1\n")
    assert list(log.other_lines) == ["sh: 1: nix: not found"]
    assert log.error == "sh: 1: nix: not found"
    log.feed(error("real"))
    assert log.error == "error: real"


def test_last_line_of_what_is_built() -> None:
    log = BuildLog()
    assert log.last_line == ""
    log.feed(start_build(1, "x") + start_build(2, "y") + event(action="result", id=1, type=101, fields=["one"]))
    assert (log.last_line, log.printed) == ("one", ["x> one"])
    log.feed(event(action="result", id=2, type=101, fields=["two " * 100]))
    assert (log.last_line, log.printed) == (("two " * 100)[:120], [f"y> {'two ' * 100}"])
    log.feed(event(action="stop", id=2))
    assert (log.last_line, log.printed) == ("one", [])


def test_bytes_of_what_is_copied() -> None:
    log = BuildLog()
    path = f"/nix/store/{'a' * 32}-big"
    log.feed(event(action="start", id=1, type=100, text="", fields=[path, "a", "b"]))
    assert log.progress() == "copying 1 of 1: big"
    log.feed(event(action="result", id=1, type=105, fields=[1 << 20, 5 << 19, 0, 0]))
    assert log.progress() == "copying 1 of 1: big, 1 of 2.5 MiB"


def test_log_of_which_a_part_is_missing() -> None:
    log = BuildLog()
    log.feed(start_build(1, "x") + b'@nix {"action":"result","id":1,"ty')
    log.skip()
    log.feed(b'pe":101,"fields":["lost"]}')
    log.feed(b"\n" + event(action="result", id=1, type=101, fields=["kept"]))
    assert (log.printed, list(log.other_lines)) == (["x> kept"], [])


def test_text_is_freed_from_control_characters() -> None:
    log = BuildLog()
    log.feed(start_build(1, "x"))
    for line in ("\x1b[1;31mred\x1b[0m", "\x1b]0;title\x07text", "10 %\r 50 %\r100 %\r", "tab\there", "bell\x07\x9b"):
        log.feed(event(action="result", id=1, type=101, fields=[line]))
    log.feed(error(f"builder for '/nix/store/{'a' * 32}-x.drv' failed"))
    assert log.log_tail == ("red", "text", "100 %", "tab\there", "bell")


def test_memory_is_bounded() -> None:
    log = BuildLog()
    log.feed(start_build(0, "first"))
    for number in range(1, 300):
        log.feed(start_build(number, f"p{number}"))
        for line in range(40):
            log.feed(event(action="result", id=number, type=101, fields=[f"line {line} " + "x" * 5000]))
        log.feed(event(action="stop", id=number))
        log.feed(b"junk\n" * 5 + event(action="msg", level=1, msg=f"warning: {number}"))
    log.feed(event(action="result", id=0, type=101, fields=["still here"]))
    log.feed(error(f"builder for '/nix/store/{'a' * 32}-first.drv' failed"))
    assert log.log_tail == ("still here",)
    assert sum(len(line) for tail in log._logs.values() for line in tail) < 64 * 25 * 2001
    assert max(len(log.other_lines), len(log.warnings)) <= 100
    for _time in range(50):
        log.feed(b"a line without an end" * 5000)
    assert len(log._unread) <= 2 << 20
    log.feed(b"\n" + error("after it"))
    assert "after it" in log.error


@dataclass(frozen=True)
class Pieces:
    """A log, and the places where it is cut into pieces."""

    name: str
    cuts: list[int]


@given(
    st.builds(
        Pieces,
        st.sampled_from(sorted(path.stem for path in LOGS.iterdir())),
        st.lists(st.integers(0, 15000), max_size=20),
    )
)
def test_pieces_of_any_size(pieces: Pieces) -> None:
    data = (LOGS / f"{pieces.name}.log").read_bytes()
    whole, log = read(pieces.name), BuildLog()
    borders = [0, *sorted(pieces.cuts), len(data)]
    for begin, end in itertools.pairwise(borders):
        log.feed(data[begin:end])
        log.progress()
    assert (log.error, log.log_tail, log.warnings) == (whole.error, whole.log_tail, whole.warnings)
    assert (log.built, log.copied, log.downloaded_bytes) == (whole.built, whole.copied, whole.downloaded_bytes)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=6,
)
events = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(["msg", "start", "stop", "result"]) | anything,
        "id": st.integers(0, 3) | anything,
        "type": st.sampled_from([0, *range(100, 113)]) | anything,
        "fields": st.lists(st.integers(0, 200) | anything, max_size=4) | anything,
        "level": st.integers(0, 5) | anything,
        "msg": st.text() | st.just("error: x") | anything,
        "text": anything,
    },
)


@given(st.lists(events.map(lambda values: event(**values)) | st.binary(), max_size=12))
def test_nothing_upsets_it(lines: list[bytes]) -> None:
    log = BuildLog()
    for line in lines:
        log.feed(line)
        assert "\n" not in log.progress()
    assert isinstance(log.error, str)
    assert isinstance(log.log_tail + log.failed_derivations + log.building, tuple)
