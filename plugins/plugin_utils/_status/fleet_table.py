# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was found on many hosts, as one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._codes import State
from .._flake.drift import DriftState

COLUMNS = ("host", "system", "revision", "age", "drift", "reboot", "health", "deployment")
_STORE = "/nix/store/"
_NOTHING = "-"


def silent(found: Mapping[str, Any]) -> bool:
    """Whether nothing is known of a host."""
    return "current_system" not in found


def row(name: str, found: Mapping[str, Any]) -> dict[str, str]:
    """The line of a host, from what system_info returned for it, or did not; "" where there is nothing to say."""
    if silent(found):
        word = "unreachable" if found.get("unreachable") else "failed"
        return dict.fromkeys(COLUMNS, "") | {"host": name, "health": word}
    failed = len(found["failed_units"])
    drift = found.get("drift") or {}
    opened = found["open_deployment"]
    return {
        "host": name,
        "system": short(found["current_system"]),
        "revision": revision(found["configuration_revision"] or drift.get("revision") or ""),
        "age": "" if found["age"] is None else span(found["age"]),
        "drift": drift.get("text", ""),
        "reboot": ", ".join(found["reboot_reasons"]) or "no",
        "health": f"{found['health']}{f', {failed} failed' if failed else ''}",
        "deployment": "" if opened is None else _stands(opened),
    }


def shown(row: Mapping[str, str]) -> dict[str, str]:
    """A line as people see it."""
    return {name: value or _NOTHING for name, value in row.items()}


def table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Lines, with the names of the columns first; a column that is empty throughout is left out."""
    columns = [name for name in COLUMNS if name in ("host", "health") or any(row[name] for row in rows)]
    cells = [columns, *([shown(row)[name] for name in columns] for row in rows)]
    widths = [max(len(line[number]) for line in cells) for number in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def remarks(found: Mapping[str, Any]) -> list[str]:
    """What does not fit into a table: anomalies, failed units, and why a host is not known."""
    if silent(found):
        return [_first_line(str(found.get("msg", "")))]
    said = [str(one["text"]) for one in found["explanations"]]
    trial = found.get("trial")
    if trial and trial["toplevel"] not in (found["current_system"], found["boot_default"]):
        said.append(trial["outcome"] or f"{trial['toplevel']} is about to be booted once, to try it")
    if found["failed_units"]:
        said.append(f"failed units: {', '.join(found['failed_units'])}")
    drift = found.get("drift") or {}
    if drift.get("state") == DriftState.UNKNOWN:
        said.append(f"drift is unknown: {drift['why']}")
    return said


def grouped(remarks: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each remark, with the hosts that it is about."""
    about: dict[str, list[str]] = {}
    for name, said in remarks.items():
        for text in said:
            about.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}" for text, names in about.items()]


def short(path: str) -> str:
    """A system by what tells it from another: the beginning of its hash, and its name."""
    if not path.startswith(_STORE):
        return path
    digest, _dash, name = path.removeprefix(_STORE).partition("-")
    return f"{digest[:7]}-{name.removeprefix('nixos-system-')}"


def revision(text: str) -> str:
    """A revision as git shows it: its beginning, and whether there were changes."""
    name, dash, rest = text.partition("-")
    return f"{name[:8]}{dash}{rest}"


def span(seconds: int) -> str:
    """A time in its largest whole unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _stands(opened: Mapping[str, Any]) -> str:
    return str(opened["state"]) if opened["in_progress"] else State.INTERRUPTED.value


def _first_line(text: str) -> str:
    lines: Iterable[str] = (line for line in text.splitlines() if line.strip())
    return next(iter(lines), "did not say why")
