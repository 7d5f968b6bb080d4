# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a host, held against what the host is: its records, a task's result, the sentences of a message.

Nothing here touches a host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PREVIOUS = {"rolled-back", "refused"}
FINAL = PREVIOUS | {"committed", "superseded", "interrupted", "rollback-failed", "commit-failed"}
# Of earlier tests on the same hosts; nobody asks for it here.
UNASKED = {"until-reboot"}


@dataclass(frozen=True)
class Truth:
    """What a host runs, what its system profile names and what its boot loader starts; "" where nobody can tell."""

    live: str
    profile: str
    loader: str

    @property
    def is_one(self) -> bool:
        """Whether all three are the same."""
        return self.live == self.profile == self.loader


@dataclass(frozen=True)
class Change:
    """Somebody has made a system live, the boot default, or both, between two moments; None is a side left alone."""

    began: float
    ended: float
    live: str | None = None
    boot: str | None = None
    sure: bool = True
    """Whether it has worked for certain."""


# Records


class Unreadable(Exception):
    """A line of deployments.jsonl is not what it has to be; the message says how."""


def read_records(data: bytes) -> list[dict[str, Any]]:
    """The lines of deployments.jsonl; Unreadable where one is not a whole object in UTF-8, or is there twice."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"deployments.jsonl is no UTF-8: {error}") from None
    if text and not text.endswith("\n"):
        raise Unreadable(f"the last line of deployments.jsonl is cut off: …{text[-80:]!r}")
    records = []
    # Not splitlines: it also takes U+0085 and U+2028 for ends of lines.
    for line in text.split("\n")[:-1]:
        if found := re.search(r"[\x00-\x1f\x7f-\x9f]", line):
            raise Unreadable(f"a line of deployments.jsonl has the control character {found[0]!r}")
        try:
            record = json.loads(line)
        except ValueError as error:
            raise Unreadable(f"a line of deployments.jsonl is no JSON: {error}: {line[:200]}") from None
        if not isinstance(record, dict) or record.get("outcome") not in FINAL | UNASKED:
            raise Unreadable(f"a line of deployments.jsonl is no record: {line[:200]}")
        records.append(record)
    ids = [record["id"] for record in records]
    if twice := {one for one in ids if ids.count(one) > 1}:
        raise Unreadable(f"deployments.jsonl has {', '.join(sorted(twice))} twice")
    return records


def broken_by(record: Mapping[str, Any], moved: Collection[str]) -> list[str]:
    """What an outcome promises and its own record does not have; `moved` are systems that others have put there."""
    outcome, live, boot = record["outcome"], record.get("live"), record.get("boot")
    kept_live, kept_boot = live == record.get("from"), boot == record.get("from_boot")
    tested = record.get("mode") != "boot"
    wrong = []
    if outcome in UNASKED:
        wrong.append(f"{outcome}, which nobody has asked for")
    elif outcome == "committed":
        if boot != record["to"]:
            wrong.append(f"committed, and the boot default is {boot}")
        if tested and live not in (record["to"], record.get("to_live")) and live not in moved:
            wrong.append(f"committed, and {live} runs")
    elif outcome in PREVIOUS and record.get("from"):
        if not kept_live and live not in moved:
            wrong.append(f"{outcome}, and {live} runs")
        if not kept_boot and boot not in moved:
            wrong.append(f"{outcome}, and the boot default is {boot}")
    elif outcome == "interrupted":
        if not kept_boot and boot not in moved:
            wrong.append(f"interrupted, and the boot default is {boot}")
    elif outcome == "superseded":
        if not moved:
            wrong.append("superseded, and nobody else has switched")
        # What was confirmed is not undone below a boot default of somebody else's.
        confirmed = record.get("phase") == "confirmed" or str(record.get("phase")).startswith("commit-")
        ours = live in (record["to"], record.get("to_live")) and confirmed and boot in moved
        if not kept_live and live not in moved and not ours:
            wrong.append(f"superseded, and {live} runs, which nobody else has made live")
        if not kept_boot and boot not in moved:
            wrong.append(f"superseded, and the boot default is {boot}, which nobody else has made that")
    return [f"{text} (deployment {record['id']})" for text in wrong]


def expected(before: Truth, changes: Iterable[Change]) -> tuple[set[str], set[str]]:
    """The systems that may be live in the end, and those that may be the boot default, after all that has changed them.

    Where two changes overlap, either may have been the last.
    """
    possible: dict[str, set[str]] = {"live": {before.live}, "boot": {before.profile}}
    ended = {"live": 0.0, "boot": 0.0}
    for change in sorted(changes, key=lambda one: one.ended):
        for side in ("live", "boot"):
            system = change.live if side == "live" else change.boot
            if system is None:
                continue
            if change.sure and change.began >= ended[side]:
                possible[side] = {system}
            else:
                possible[side].add(system)
            ended[side] = max(ended[side], change.ended)
    return possible["live"], possible["boot"]


# The fields of a record that name a system.
_SYSTEMS = ("from", "from_boot", "to", "to_live", "live", "boot", "loader_default")
Names = Callable[[str], str]
"""Gives a system the name that it has in the end: one that wraps another one runs, and is booted, as the one inside."""


def with_names(record: Mapping[str, Any], name: Names) -> dict[str, Any]:
    """A record whose systems have their names."""
    return {**record, **{field: name(record[field]) for field in _SYSTEMS if record.get(field)}}


# What a controller says


@dataclass(frozen=True)
class Report:
    """What a controller has said of a host: a task's result, or the command's line."""

    host: str
    failed: bool
    state: str = ""
    deployment: str = ""
    system: str = ""
    boot_default: str = ""
    message: str = ""


_RESULT = re.compile(r"^(ok|changed|fatal): \[([^\]]+)\](?:: FAILED!)? => (\{.*\})$", re.MULTILINE)


def of_playbook(output: str) -> list[Report]:
    """The results in what ansible-playbook prints with -v."""
    found = []
    for status, host, text in _RESULT.findall(output):
        try:
            result = json.loads(text)
        except ValueError:
            # Cut off where it was killed.
            continue
        steps = [result[name] for name in ("test", "boot") if isinstance(result.get(name), dict)]
        found += [_report(host, step, bool(step.get("failed")), step.get("msg", "")) for step in steps]
        found.append(_report(host, result, status == "fatal", result.get("msg", "")))
    return found


def of_command(output: str) -> list[Report]:
    """The results in what the command prints with `--instrumentation json`."""
    found = []
    for line in output.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "result":
            failed = event.get("outcome") not in ("deployed", "unchanged", "would-change")
            found.append(_report(event["host"], event, failed, event.get("error") or ""))
    return found


def _report(host: str, result: Mapping[str, Any], failed: bool, message: object) -> Report:
    words = {name: result.get(name) for name in ("state", "deployment", "system", "boot_default")}
    return Report(
        host,
        failed,
        message=str(message),
        **{name: value if isinstance(value, str) else "" for name, value in words.items()},
    )


def fleet_report(output: str) -> dict[str, list[str]]:
    """Which hosts the report of a fleet has as committed, previous and unknown; empty where there is no report."""
    found = {}
    for name in ("committed", "previous", "unknown"):
        if lists := re.findall(rf'^\s*"{name}: (.*?)",?$', output, re.MULTILINE):
            hosts = re.sub(r" \([^)]*\)", "", lists[-1])
            found[name] = [] if hosts == "none" else hosts.split(", ")
    return found


# Sentences. A path ends before the full stop of its sentence.
_PATH = r"(/nix/store/[\w.+?=-]*[\w+?=-])"
Holds = Callable[[Truth, Truth, str], bool]
"""Whether a sentence holds of a host, which was as the second says before; the third is the path in it."""
CLAIMS: tuple[tuple[str, Holds], ...] = (
    (rf"\b[Ii]t runs {_PATH}", lambda now, _before, path: now.live == path),
    (r"\bruns its previous system\b", lambda now, before, _path: now.live == before.live),
    (r"\bwould boot the same\b", lambda now, _before, _path: now.live == now.profile == now.loader),
    (rf"\bwould boot {_PATH}", lambda now, _before, path: now.loader == path),
    (r"\bwhich it also boots\b", lambda now, _before, _path: now.live == now.profile == now.loader),
    (r"\bboots its previous system(?! unless)", lambda now, before, _path: now.loader == before.loader),
    (r"\bnothing was changed\b", lambda now, before, _path: now == before),
    (
        r"\bthe new system runs and is the boot default\b",
        lambda now, before, _path: now.live == now.loader != before.loader,
    ),
    (rf"\bboot loader starts {_PATH}", lambda now, _before, path: now.loader == path),
    (rf"\bsystem profile is {_PATH}", lambda now, _before, path: now.profile == path),
)


def lies(
    report: Report,
    outcomes: Mapping[str, str],
    before: Collection[Truth],
    seen: Collection[Truth],
    name: Names = lambda system: system,
) -> list[str]:
    """What a report says and is not so; `seen` is all that the host was while it may have been said.

    `outcomes` are those of the deployments by their ids, `before` is what the host was before, and what somebody else
    has made of that.
    """
    wrong = []
    if report.state in FINAL and report.deployment:
        outcome = outcomes.get(report.deployment)
        if outcome != report.state:
            wrong.append(f"says {report.state} of {report.deployment}, and its record {outcome}")
    if report.state in FINAL | {"unchanged"}:
        if report.system and all(name(report.system) != now.live for now in seen):
            wrong.append(f"says that it runs {report.system}")
        if report.boot_default and all(name(report.boot_default) != now.profile for now in seen):
            wrong.append(f"says that it boots {report.boot_default}")
    if report.state == "unchanged" and not any(now.profile == now.loader for now in seen):
        wrong.append("says that there is nothing to do, and the boot loader would start another system")
    wrong += [f"says {sentence!r}" for sentence in false_sentences(report.message, before, seen, name)]
    return [f"{report.host}: the controller {text}, which is not so" for text in wrong]


def false_sentences(
    message: str, before: Collection[Truth], seen: Collection[Truth], name: Names = lambda system: system
) -> list[str]:
    """The claims of a message that held at no time."""
    found = []
    for pattern, holds in CLAIMS:
        for match in re.finditer(pattern, message):
            path = name(match[1]) if match.groups() else ""
            if not any(holds(now, then, path) for now in seen for then in before):
                found.append(match[0])
    return found
