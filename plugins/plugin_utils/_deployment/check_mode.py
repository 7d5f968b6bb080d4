# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check mode: what a deployment would do, as return values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._codes import Mode, RebootBecause, ResultState, Why
from .._host.answer import Answer, number
from .._host.connection import Host
from . import dry_activation, messages
from .settings import Settings

_REASONS = {RebootBecause.STATUS_100: "what switch-to-configuration found (status 100)"}
"""What is said to people where the code itself says too little."""


def result_of(host: Host, settings: Settings, answer: Answer, mode: Mode) -> dict[str, Any]:
    """The return values of a deployment that was looked at and not begun; failed where the host would refuse it."""
    valid = answer.get("valid") == "yes"
    reasons = _reboot_reasons(answer) if valid else []
    boots = mode == Mode.BOOT or bool(answer.get("needs_reboot"))
    result: dict[str, Any] = {
        "changed": True,
        "deployment": "",
        "state": ResultState.WOULD_BOOT if boots else ResultState.WOULD_TEST,
        "generation": number(answer.get("generation")),
        "valid": valid,
        "would": None,
        "reboot_required": bool(reasons) or boots,
        "reboot_reasons": reasons or (["boot-only"] if boots else []),
        "free_space": free_space(answer, settings),
        "failed_units": answer.all("failed_unit"),
        "notes": _notes(host, answer, valid, settings),
    }
    if valid and answer.get("checked"):
        result["would"] = dry_activation.nothing() if boots else _would(answer)
    if valid and (why_code := _why_not(answer)):
        result |= {"failed": True, "changed": False, "msg": _refusal(host.name, answer, why_code), "would": None}
        result |= {"state": ResultState.WOULD_REFUSE, "reason": why_code}
    for note in result["notes"]:
        host.warn(note)
    if not result.get("failed"):
        host.tell(in_words(result, only_secrets=bool(answer.get("only_secrets"))))
    return result


def _would(answer: Answer) -> dry_activation.Would:
    """What the activation would do to units, and what is done for those that read secrets."""
    would = dry_activation.parse(answer.get("dry_activation"))
    begun = {*would["stop"], *would["start"], *would["restart"]}
    read = [words for said in answer.all("secret_unit") if len(words := said.split()) == 2]
    # Whatever is started reads them, and is not asked once more.
    restarted = [unit for verb, unit in read if verb == "restart" and unit not in begun]
    would["restart"] += dict.fromkeys(restarted)
    begun.update(restarted)
    reloaded = [unit for verb, unit in read if verb == "reload" and unit not in begun and unit not in would["reload"]]
    would["reload"] += dict.fromkeys(reloaded)
    return would


def in_words(result: Mapping[str, Any], *, only_secrets: bool = False) -> str:
    """The same in a line, for whoever watches."""
    if not result["valid"]:
        return "would try a system that was not built"
    would = result["would"]
    verbs = ("stop", "start", "restart", "reload")
    parts = [f"{verb} {', '.join(would[verb])}" for verb in verbs if would[verb]]
    parts += ["restart systemd"] if would["restart_systemd"] else []
    parts += [f"turn off the swap device {', '.join(would['swapoff'])}"] if would["swapoff"] else []
    what = "; ".join(parts) or "leave all units as they are"
    if only_secrets:
        return f"would keep its system, and {what}"
    if result["state"] == ResultState.WOULD_BOOT:
        what = "make the new system its boot default and activate nothing"
    reasons = ", ".join(_REASONS.get(reason, reason) for reason in result["reboot_reasons"])
    full = [f"/{name}" for name, space in result["free_space"].items() if not space["enough"]]
    space = f"there is NOT enough free space on {' and '.join(full)}" if full else "there is enough free space"
    return f"would {what}; {f'a reboot is needed: {reasons}' if reasons else 'no reboot is needed'}; {space}"


def refused(settings: Settings, answer: Answer) -> dict[str, Any]:
    """The return values of a deployment that the host would refuse at once."""
    space = free_space(answer, settings)
    return {"state": ResultState.WOULD_REFUSE, "changed": False, **({"free_space": space} if space else {})}


def free_space(answer: Answer, settings: Settings) -> dict[str, dict[str, Any]]:
    """Free space on each file system, in bytes; C(boot) only where /boot is one of its own."""
    boot_files = number(answer.get("boot_files_kib")) or 0
    needed = {
        "nix": settings.min_free_space.nix * 1024,
        "boot": max((settings.min_free_space.boot or 0) * 1024, boot_files),
    }
    found = {}
    for name, kib in needed.items():
        free = number(answer.get(f"free_{name}_kib"))
        if free is not None:
            found[name] = {"free_bytes": free * 1024, "needed_bytes": kib * 1024, "enough": free >= kib}
    return found


def _reboot_reasons(answer: Answer) -> list[str]:
    """Why a reboot would be needed, most of it known before anything was tried."""
    found = [*answer.all("reboot_for"), *(f"inhibitor {name}" for name in _inhibitors(answer))]
    if answer.get("needs_reboot") == RebootBecause.STATUS_100:
        found.append(RebootBecause.STATUS_100)
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


def _notes(host: Host, answer: Answer, valid: bool, settings: Settings) -> list[str]:
    notes = answer.all("note")
    if not valid:
        notes.append(f"{settings.toplevel} was not built on {host.name}, so its units, kernel and size are not known")
    if unfinished := answer.get("unfinished"):
        notes.append(f"deployment {unfinished} was left unfinished; the next deployment repairs it first")
    for name, space in free_space(answer, settings).items():
        if not space["enough"]:
            free, needed = space["free_bytes"] >> 10, space["needed_bytes"] >> 10
            notes.append(f"/{name} has {free} KiB free, and needs {needed} KiB, unless older generations are removed")
    return notes


def _why_not(answer: Answer) -> str:
    """The code of why the host would refuse, or could not tell; "" where it would go on."""
    return answer.get("why_code") if answer.get("checked") else Why.UNCLEAR


def _refusal(host: str, answer: Answer, why_code: str) -> str:
    why = answer.get("why")
    if not answer.get("checked"):
        why = "the unit that looks at the host did not end within its limit, or was killed"
    unclear = why_code == Why.UNCLEAR
    only_secrets = bool(answer.get("only_secrets"))
    its = "the secrets" if only_secrets else "the new system"
    what = f"could not find out what {its} would do" if unclear else f"would refuse {its}"
    parts = [
        f"{host} {what}; nothing was changed.",
        f"Why: {why.strip()}.",
        messages.excerpt("Journal", answer.get("journal")),
        messages.excerpt("Output of switch-to-configuration (last 20 lines)", answer.get("said")),
        f"Next: {messages.after_refusal(why_code, 'check', only_secrets=only_secrets)}.",
    ]
    return "\n".join(part for part in parts if part)
