# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Nix says while it builds, read from `--log-format internal-json`.

Every line of it begins with `@nix ` and holds one JSON object: a message (`msg`), or an activity that starts, has a
result or stops. Nix documents none of it; its source is `logging.hh` (the numbers below), `JSONLogger` in
`logging.cc`, and for what the numbers add up to `progress-bar.cc`, which is what a person at a terminal would see.

The log comes in pieces of any size, may be cut off anywhere, and other programs write into it too. What a build
prints is anything at all, so all text is freed from control characters and every list has a limit.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from .._printable import printable
from .nix_errors import NixError, recognised, with_what_was_said

# ActivityType in logging.hh
_UNKNOWN = 0
_COPY_PATH = 100
_FILE_TRANSFER = 101
_COPY_PATHS = 103
_BUILDS = 104
_BUILD = 105
_BUILD_WAITING = 111
_FETCH_TREE = 112
# ResultType in logging.hh
_BUILD_LOG_LINE = 101
_SET_PHASE = 104
_PROGRESS = 105
_SET_EXPECTED = 106
# Verbosity in error.hh
_ERROR = 0
_WARN = 1

_TAIL = 25
_LOGS = 64
_LINES = 100
_LINE = 1 << 20
_SHOWN = 2000
_LAST = 120
_MIB = 1 << 20

_STORE_PATH = re.compile(r"/nix/store/[0-9a-z]{32}-([0-9a-zA-Z+\-._?=]+)")
_DERIVATION = re.compile(r"'(/nix/store/[0-9a-z]{32}-[0-9a-zA-Z+\-._?=]+\.drv)")
# What failed only since something that it needs had failed, before and after Nix 2.31.
_FOLLOWS = re.compile(
    r"dependenc(y|ies) of (derivation )?'|Reason: .{0,20}dependenc(y|ies) failed|^error: build of '"
    r"|^error: Build failed due to failed dependency"
)
# The daemon repeats the last lines of the build's log in its message.
_REPEATED_LOG = re.compile(r"[;.]?\n *[Ll]ast \d+ log lines:\n(?: *>.*\n?)*(?: *For full logs, run:.*\n? *.*)?")
_RETRY = re.compile(r"; retrying( from offset \d+)? in \d+ ms.*$")


@dataclass
class _Activity:
    kind: int
    text: str
    path: str = ""
    phase: str = ""
    done: int = 0
    expected: int = 0


class BuildLog:
    """Follows one build. Feed it the log as it comes, and ask it whenever you like."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        """What Nix and the evaluated configuration warn of, each once."""
        self.other_lines: deque[str] = deque(maxlen=_LINES)
        """The last lines that are not Nix's: of a shell that does not find it, for example."""
        self.printed: list[str] = []
        """What builds have printed, each line with its derivation's name; for who takes it out after each piece."""
        self._errors: list[str] = []
        self._unread = b""
        self._cut = False
        self._active: dict[int, _Activity] = {}
        self._started: dict[int, int] = {}
        self._finished: dict[int, int] = {}
        self._announced: dict[tuple[int, int], int] = {}
        self._logs: dict[str, deque[str]] = {}

    def feed(self, data: bytes) -> None:
        """Read the next piece of the log."""
        self.printed.clear()
        if self._cut and data:
            # The rest of a line that was cut off.
            _rest, end, data = data.partition(b"\n")
            self._cut = not end
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._read_line(line)
        # Of a line without an end, keep what can still become a message.
        self._unread = self._unread[: 2 * _LINE]

    def skip(self) -> None:
        """A part of the log is missing before the next piece."""
        self._unread, self._cut = b"", True

    @property
    def last_line(self) -> str:
        """What a build that is in progress has printed last; "" if none has printed anything."""
        running = [self._logs[each.path] for each in self._active.values() if each.path in self._logs]
        # Where several are in progress, of the one that began last.
        return next((log[-1][:_LAST] for log in reversed(running) if log and log[-1].strip()), "")

    @property
    def builds_expected(self) -> int:
        """How many derivations Nix means to build, as far as it knows yet."""
        return self._expected(_BUILDS)

    @property
    def building(self) -> tuple[str, ...]:
        """Names of the derivations that are being built at this moment."""
        return tuple(_name(activity.path) for activity in self._active.values() if activity.kind == _BUILD)

    @property
    def built(self) -> int:
        """How many derivations were built."""
        return self._done(_BUILDS)

    @property
    def paths_expected(self) -> int:
        """How many store paths Nix means to copy from a binary cache."""
        return self._expected(_COPY_PATHS)

    @property
    def copied(self) -> int:
        """How many store paths were copied from a binary cache."""
        return self._done(_COPY_PATHS)

    @property
    def bytes_expected(self) -> int:
        """How many bytes Nix means to download."""
        return self._expected(_FILE_TRANSFER)

    @property
    def downloaded_bytes(self) -> int:
        """How many bytes were downloaded."""
        return self._done(_FILE_TRANSFER)

    @property
    def did_something(self) -> bool:
        """Whether the host's store has something new in it: built or copied."""
        return bool(self.built or self.copied)

    @property
    def failed_derivations(self) -> tuple[str, ...]:
        """Store paths of the derivations that failed by themselves."""
        found = (path for error in self._root_errors() for path in _DERIVATION.findall(error))
        return tuple(dict.fromkeys(found))

    @property
    def log_tail(self) -> tuple[str, ...]:
        """The last lines that the failed build printed; of the first one where several failed."""
        for derivation in self.failed_derivations:
            if self._logs.get(derivation):
                return tuple(self._logs[derivation])
        return ()

    @property
    def error(self) -> str:
        """Why it failed, in Nix's own words, or in those of whatever ran instead of it. Of use after a failure only."""
        errors = [_without_log(error, self._logs) for error in self._root_errors()]
        if not errors:
            return "\n".join(list(self.other_lines)[-5:])
        more = [f"({len(errors) - 3} more errors)"] if len(errors) > 3 else []
        message = "\n".join([*errors[:3], *more])
        failed = NixError.PROGRAM_FAILED in recognised(message)
        return with_what_was_said(message, self.other_lines) if failed else message

    def progress(self) -> str:
        """Say in one short line what is going on; nothing if there is nothing to say."""
        parts = [part for part in (self._say_builds(), self._say_copies(), self._say_downloads()) if part]
        if parts:
            return "; ".join(parts)
        for activity in reversed(self._active.values()):
            if activity.kind == _UNKNOWN and activity.text.startswith("evaluating "):
                return "evaluating the configuration"
            if activity.text and activity.kind in (_FETCH_TREE, _BUILD_WAITING, _FILE_TRANSFER):
                return activity.text
        return self._say_what_was_done()

    def _say_builds(self) -> str:
        return self._say_current("building", _BUILD, self.builds_expected)

    def _say_copies(self) -> str:
        return self._say_current("copying", _COPY_PATH, self.paths_expected)

    def _say_current(self, verb: str, kind: int, expected: int) -> str:
        current = [activity for activity in self._active.values() if activity.kind == kind]
        if not current:
            return ""
        names = [_name(activity.path) for activity in current[:3]]
        if len(current) > 3:
            names.append(f"and {len(current) - 3} more")
        elif len(current) == 1 and current[0].phase:
            names = [f"{names[0]} ({current[0].phase})"]
        expected_bytes = sum(activity.expected for activity in current)
        # Of a binary cache, what is downloaded is said.
        if kind == _COPY_PATH and expected_bytes >= _MIB // 10 and not self._say_downloads():
            done = sum(activity.done for activity in current)
            names[-1] += f", {_mib(done)} of {_mib(expected_bytes)} MiB"
        number = self._started.get(kind, 0)
        return f"{verb} {number} of {max(number, expected)}: {', '.join(names)}"

    def _say_downloads(self) -> str:
        done, expected = self.downloaded_bytes, self.bytes_expected
        # Less than that is not worth a word: it is what a binary cache says of its paths.
        if done >= expected or expected < _MIB // 10:
            return ""
        return f"downloaded {_mib(done)} of {_mib(expected)} MiB"

    def _say_what_was_done(self) -> str:
        parts = []
        if self.built:
            parts.append(f"built {self.built}")
        if self.copied:
            parts.append(f"copied {self.copied} {'path' if self.copied == 1 else 'paths'}")
        if parts and self.downloaded_bytes >= _MIB // 10:
            parts.append(f"downloaded {_mib(self.downloaded_bytes)} MiB")
        return ", ".join(parts)

    def _read_line(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        if not text.startswith("@nix "):
            if text.strip():
                self.other_lines.append(printable(text)[:_SHOWN])
            return
        try:
            event = json.loads(text[5:])
            action = event["action"]
            if action == "msg":
                self._read_message(event)
            elif action == "start":
                self._start(event)
            elif action == "stop":
                self._stop(event["id"])
            elif action == "result":
                self._read_result(event)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            # Cut off, or of a newer Nix: not a reason to stop following the build.
            return

    def _read_message(self, event: dict[str, object]) -> None:
        message = printable(str(event["msg"])).strip()
        level = event["level"]
        if level == _ERROR and message.startswith("error:"):
            _add(self._errors, message, _LINES)
        # `warnings` of NixOS come as traces.
        trace = re.sub(r"^trace: ", "", message)
        if (level == _WARN or trace != message) and re.match(r"(evaluation )?warning: ", trace):
            warning = re.sub(r"^(evaluation )?warning: ", "", trace)
            _add(self.warnings, _RETRY.sub("", warning).removeprefix("error: ")[:_SHOWN], _LINES)

    def _start(self, event: dict[str, object]) -> None:
        kind = event["type"]
        identity = event["id"]
        if not isinstance(kind, int) or not isinstance(identity, int):
            return
        activity = _Activity(kind, _STORE_PATH.sub(r"\1", printable(str(event.get("text", ""))))[:200])
        fields = event.get("fields")
        if kind in (_BUILD, _COPY_PATH) and isinstance(fields, list):
            activity.path = str(fields[0])
        if kind == _BUILD:
            self._logs.pop(activity.path, None)
            self._logs[activity.path] = deque(maxlen=_TAIL)
            self._forget_logs()
        self._started[kind] = self._started.get(kind, 0) + 1
        self._active[identity] = activity

    def _stop(self, identity: int) -> None:
        activity = self._active.pop(identity, None)
        if activity is not None:
            self._finished[activity.kind] = self._finished.get(activity.kind, 0) + activity.done
        for key in [key for key in self._announced if key[0] == identity]:
            del self._announced[key]

    def _read_result(self, event: dict[str, object]) -> None:
        kind, identity, fields = event["type"], event["id"], event.get("fields", [])
        activity = self._active.get(identity) if isinstance(identity, int) else None
        if activity is None or not isinstance(identity, int) or not isinstance(fields, list):
            return
        if kind == _PROGRESS:
            activity.done, activity.expected = int(fields[0]), int(fields[1])
        elif kind == _SET_EXPECTED:
            self._announced[identity, int(fields[0])] = int(fields[1])
        elif kind == _SET_PHASE:
            activity.phase = printable(str(fields[0]))[:40]
        elif kind == _BUILD_LOG_LINE and activity.path in self._logs:
            # Of a line that was drawn over itself, the last state.
            line = str(fields[0]).rstrip("\r").rpartition("\r")[2]
            text = printable(line)[:_SHOWN]
            self._logs[activity.path].append(text)
            self.printed.append(f"{_name(activity.path)}> {text}")

    def _done(self, kind: int) -> int:
        active = sum(activity.done for activity in self._active.values() if activity.kind == kind)
        return self._finished.get(kind, 0) + active

    def _expected(self, kind: int) -> int:
        active = sum(
            max(activity.done, activity.expected) for activity in self._active.values() if activity.kind == kind
        )
        announced = sum(number for (_identity, of), number in self._announced.items() if of == kind)
        return max(self._finished.get(kind, 0) + active, announced)

    def _root_errors(self) -> list[str]:
        return [error for error in self._errors if not _FOLLOWS.search(error)] or self._errors

    def _forget_logs(self) -> None:
        """Keep the logs of builds that run, and of those that ended last: a failure is told after its end."""
        running = {activity.path for activity in self._active.values()}
        for derivation in [derivation for derivation in self._logs if derivation not in running]:
            if len(self._logs) <= _LOGS:
                return
            del self._logs[derivation]


def _add(to: list[str], text: str, limit: int) -> None:
    if text not in to and len(to) < limit:
        to.append(text)


def _without_log(error: str, logs: Iterable[str]) -> str:
    """Leave out the log that `log_tail` has anyway, and cut what no person would read."""
    if any(derivation in error for derivation in logs):
        error = _REPEATED_LOG.sub("", error)
    return error if len(error) <= 4 * _SHOWN else f"{error[:_SHOWN]}\n[…]\n{error[-3 * _SHOWN :]}"


def _name(path: str) -> str:
    return _STORE_PATH.sub(r"\1", path).removesuffix(".drv")


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f}".removesuffix(".0")
