# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host reports of a deployment, in words: the phase, what happened, what it runs and boots, what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._host.answer import HostError

_PROGRESS = {
    "checking": "looks at itself and checks the new system",
    "activating": "activates the new system",
    "settling": "runs the new system; watches its units settle",
    "window": "runs the new system and waits for confirmation",
    "confirmed": "is confirmed",
    "commit-check": "tries the boot loader",
    "commit-profile": "makes the new system its boot default",
    "commit-boot": "writes the boot loader",
    "commit-verify": "verifies the boot default",
    "committed": "has committed: the new system runs and is the boot default",
    "rolling-back": "goes back to the previous system",
    "rolled-back": "runs its previous system again",
    "rollback-failed": "could NOT go back to its previous system",
    "commit-failed": "could NOT make its boot default whole",
    "refused": "refused the new system; nothing was changed",
    "superseded": "was switched by somebody else; nothing of theirs was touched",
    "interrupted": "was shut down during the deployment; it boots its previous system",
}


def progress(state: str, mode: str = "", record: Mapping[str, Any] | None = None) -> str:
    """A line for a state of a deployment; `record` is the host's, of one that has ended."""
    if state == "committed" and record and record.get("live") not in (record.get("to"), record.get("to_live")):
        return "has committed: the new system is the boot default, and runs after a reboot"
    if state == "window" and mode == "boot":
        return "needs a reboot for the new system; waits for confirmation to make it the boot default"
    return _PROGRESS.get(state, state)


def read_record(text: str) -> dict[str, Any]:
    """A line of deployments.jsonl; empty where there is none or it is broken."""
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def lines(text: str) -> list[str]:
    """The lines of a value that hold something."""
    return [line for line in text.splitlines() if line.strip()]


def number(text: str) -> int | None:
    """A number that the host wrote, or None."""
    return int(text) if text.isdigit() else None


def busy(error: HostError) -> str:
    """Who is at work on the host, from the refusal of a second deployment."""
    if error.answer is None or not error.answer.get("holder"):
        return str(error)
    about = read_record("{" + error.answer.get("holder_about") + "}")
    since = error.answer.get("holder").partition("-")[0]
    return (
        f"{error} (of {about.get('by', 'somebody')} on {about.get('controller', 'some controller')}, since {since},"
        f" {about.get('configuration') or 'a system'} of {about.get('flake') or 'a flake'})"
    )


def failure(host: str, deployment: str, state: str, record: Mapping[str, Any]) -> str:
    """The message of a deployment that did not end committed."""
    parts = [f"{host} {progress(state)}."]
    if why := record.get("why"):
        phase = f" while it was {record['phase']}" if record.get("phase") else ""
        parts.append(f"Why{phase}: {why.strip()}.".replace("..", "."))
    parts.append(_now(record))
    for title, name in (
        ("Failed units", "failed_units"),
        ("Journal", "journal"),
        ("Last words of switch-to-configuration", "log"),
    ):
        if text := lines(record.get(name, "")):
            parts.append("\n".join((f"{title}:", *(f"  {line}" for line in text[-20:]))))
    parts.append(
        f"Next: {_next(state, record)}; the record is the line {deployment} in /var/lib/deploy-flake/deployments.jsonl."
    )
    return "\n".join(part for part in parts if part)


def _now(record: Mapping[str, Any]) -> str:
    if not record:
        return "What the host runs now is not known."
    live, boot = record.get("live", ""), record.get("boot", "")
    if not live:
        return ""
    said = {
        record.get("to"): "the new system",
        record.get("to_live"): "the new system",
        record.get("from"): "the previous system",
    }
    runs = f"It runs {live} ({said.get(live, 'another system')})"
    return f"{runs} and would boot the same." if boot == live else f"{runs} and would boot {boot or 'nothing'}."


def after_refusal(why: str, again: str) -> str:
    """What to do about a refusal."""
    if "needs a reboot" in why:
        return (
            f"set on_reboot_required to 'boot' or 'boot_and_reboot' and {again} again, or boot the system once with the"
            " playbook trial"
        )
    return f"mend what is named above and {again} again"


def _next(state: str, record: Mapping[str, Any]) -> str:
    return {
        "refused": after_refusal(record.get("why") or "", "deploy"),
        "rolled-back": "mend the configuration and deploy again; nothing has to be done on the host",
        "rollback-failed": "log in and look ('systemctl --failed', 'journalctl -u deploy-flake');"
        " a reboot starts the boot default",
        "commit-failed": "log in, make room or mend the boot loader, run"
        " '/nix/var/nix/profiles/system/bin/switch-to-configuration boot'; do not reboot before",
        "superseded": "find out who switched the host, and deploy again",
        "interrupted": "wait until the host is up and deploy again",
    }.get(state, "look with the module system_info")
