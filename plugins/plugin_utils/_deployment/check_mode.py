# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check mode: what a deployment would do, as return values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._host.answer import Answer
from .._host.connection import Host
from . import dry_activation
from . import messages as report


def limit(limits: Mapping[str, int]) -> int:
    """Seconds that this may take: its steps, each once, and something to spare."""
    return limits["health"] + limits["check"] + limits["activate"] + 60


def result_of(host: Host, options: Mapping[str, Any], answer: Answer, mode: str) -> dict[str, Any]:
    """The return values of a deployment that was looked at and not begun; failed where the host would refuse it."""
    valid = answer.get("valid") == "yes"
    reasons = _reasons(answer) if valid else []
    boots = mode == "boot" or bool(answer.get("needs_reboot"))
    result: dict[str, Any] = {
        "changed": True,
        "deployment": "",
        "state": "would-boot" if boots else "would-test",
        "generation": report.number(answer.get("generation")),
        "valid": valid,
        "would": None,
        "reboot_required": bool(reasons) or boots,
        "reboot_reasons": reasons or (["boot-only"] if boots else []),
        "free_space": space(answer, options),
        "failed_units": answer.all("failed_unit"),
        "notes": _notes(host, answer, valid, options),
    }
    if valid and answer.get("foreseen"):
        result["would"] = dry_activation.nothing() if boots else dry_activation.parse(answer.get("dry_activation"))
    if why := _why_not(answer, valid):
        result |= {"failed": True, "changed": False, "msg": _refusal(host.name, answer, why), "would": None}
        result |= {"state": "would-refuse", "reason": "unclear" if _unclear(answer) else "would-refuse"}
    for note in result["notes"]:
        host.warn(note)
    if not result.get("failed"):
        host.tell(in_words(result))
    return result


def in_words(result: Mapping[str, Any]) -> str:
    """The same in a line, for whoever watches."""
    if not result["valid"]:
        return "would try a system that was not built"
    would = result["would"]
    verbs = ("stop", "start", "restart", "reload")
    parts = [f"{verb} {', '.join(would[verb])}" for verb in verbs if would[verb]]
    parts += ["restart systemd"] if would["restart_systemd"] else []
    parts += [f"take away the swap device {', '.join(would['swapoff'])}"] if would["swapoff"] else []
    what = "; ".join(parts) or "leave all units as they are"
    if result["state"] == "would-boot":
        what = "make the new system its boot default and activate nothing"
    reasons = ", ".join(result["reboot_reasons"])
    full = [f"/{name}" for name, room in result["free_space"].items() if not room["enough"]]
    room = f"there is NOT enough room on {' and '.join(full)}" if full else "there is room"
    return f"would {what}; {f'a reboot is needed: {reasons}' if reasons else 'no reboot is needed'}; {room}"


def refused(options: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """The return values of a deployment that the host would refuse at once."""
    room = space(answer, options)
    return {"state": "would-refuse", "changed": False, **({"free_space": room} if room else {})}


def space(answer: Answer, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Room on each file system, in bytes; C(boot) only where /boot is one of its own."""
    needed = {name: (options["min_free_space"][name] or 0) * 1024 for name in ("nix", "boot")}
    needed["boot"] = max(needed["boot"], report.number(answer.get("boot_files_kib")) or 0)
    found = {}
    for name, kib in needed.items():
        free = report.number(answer.get(f"free_{name}_kib"))
        if free is not None:
            found[name] = {"free_bytes": free * 1024, "needed_bytes": kib * 1024, "enough": free >= kib}
    return found


def _reasons(answer: Answer) -> list[str]:
    """Why a reboot would be needed, most of it known before anything was tried."""
    found = [*answer.all("reboot_for"), *(f"inhibitor {name}" for name in _inhibitors(answer))]
    if "exited 100" in answer.get("needs_reboot"):
        found.append(answer.get("needs_reboot"))
    return found


def _inhibitors(answer: Answer) -> list[str]:
    """What `system.switch.inhibitors` names and is not what runs; or, where that was in the way, what was booted."""
    new = _named(answer.get("inhibitors_new"))
    sides = ["inhibitors_current", *(["inhibitors_booted"] if answer.get("needs_reboot") else [])]
    for side in sides:
        old = _named(answer.get(side))
        if found := [name for name in new if name in old and new[name] != old[name]]:
            return found
    return []


def _named(text: str) -> dict[str, str]:
    """NixOS writes an object of strings; what has another form is one thing to compare."""
    try:
        read = json.loads(text)
    except ValueError:
        read = text.strip()
    if isinstance(read, dict):
        return {str(name): str(value) for name, value in read.items()}
    return {"switch-inhibitors": text.strip()} if read else {}


def _notes(host: Host, answer: Answer, valid: bool, options: Mapping[str, Any]) -> list[str]:
    notes = answer.all("note")
    if not valid:
        notes.append(
            f"{options['toplevel']} was not built on {host.name}, so nothing is known of its units, kernel and size"
        )
    if unfinished := answer.get("unfinished"):
        notes.append(f"deployment {unfinished} was left unfinished; the next deployment repairs it first")
    for name, room in space(answer, options).items():
        if not room["enough"]:
            free, needed = room["free_bytes"] >> 10, room["needed_bytes"] >> 10
            notes.append(f"/{name} has {free} KiB free, and {needed} KiB are needed unless older generations go first")
    return notes


def _why_not(answer: Answer, valid: bool) -> str:
    if not valid:
        return ""
    if not answer.get("foreseen"):
        return "the unit that looks at the new system did not end within its limit, or was killed"
    return answer.get("why") or answer.get("unclear")


def _unclear(answer: Answer) -> bool:
    return not answer.get("foreseen") or bool(answer.get("unclear"))


def _refusal(host: str, answer: Answer, why: str) -> str:
    what = "does not say what the new system would do" if _unclear(answer) else "would refuse the new system"
    parts = [f"{host} {what}; nothing was changed.", f"Why: {why.strip()}."]
    for title, name in (("Journal", "journal"), ("Last words of switch-to-configuration", "said")):
        if text := report.lines(answer.get(name)):
            parts.append("\n".join((f"{title}:", *(f"  {line}" for line in text[-20:]))))
    parts.append(f"Next: {report.after_refusal(why, 'check')}.")
    return "\n".join(parts)
