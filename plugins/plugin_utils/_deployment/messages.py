# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host reports of a deployment, in words: the phase, what happened, what it runs and boots, what to do next.

For people alone: nothing is decided by a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._codes import Mode, ResultState, State, Why
from .._host.answer import HostError, lines
from .._host.scripts import SYSTEM, Kind
from .record import read_record

_PROGRESS: dict[str, str] = {
    State.CHECKING: "checks itself and the new system",
    State.ACTIVATING: "activates the new system",
    State.SETTLING: "runs the new system and watches its units settle",
    State.WINDOW: "runs the new system and waits for confirmation",
    State.CONFIRMED: "is confirmed",
    State.COMMIT_CHECK: "tries to write the boot loader",
    State.COMMIT_PROFILE: "makes the new system its boot default",
    State.COMMIT_BOOT: "writes the boot loader",
    State.COMMIT_VERIFY: "verifies the boot default",
    State.COMMITTED: "has committed: the new system runs and is the boot default",
    State.UNTIL_REBOOT: "has confirmed: the new system runs until the next reboot, which starts the boot default again",
    State.ROLLING_BACK: "rolls back to the previous system",
    State.ROLLED_BACK: "has rolled back: it runs its previous system again",
    State.ROLLBACK_FAILED: "could NOT roll back to its previous system",
    State.COMMIT_FAILED: "could NOT write its boot loader or system profile; what it would boot is not certain",
    State.REFUSED: "refused the new system; nothing was changed",
    State.SUPERSEDED: "was switched by somebody else meanwhile; what they did was left alone",
    State.INTERRUPTED: "was shut down during the deployment; it boots what it booted before",
    State.UNKNOWN: "knows nothing of the deployment",
}
_PROGRESS_OF_SECRETS: dict[str, str] = _PROGRESS | {
    State.CHECKING: "checks itself",
    State.ACTIVATING: "puts its secrets in place",
    State.SETTLING: "has its secrets in place and watches its units settle",
    State.WINDOW: "has its secrets in place and waits for confirmation",
    State.COMMITTED: "has committed its secrets",
    State.ROLLING_BACK: "puts its previous secrets back",
    State.ROLLED_BACK: "has rolled back: it has its previous secrets again",
    State.ROLLBACK_FAILED: "could NOT go back to its previous secrets, or what reads them is not as it was",
    State.REFUSED: "refused the secrets; nothing was changed",
    State.INTERRUPTED: "was shut down during the deployment; it has its previous secrets",
}
"""Where nothing but secrets is to change."""
_OF_A_PROFILE: dict[str, str] = {
    State.CHECKING: "checks itself and the new generation",
    State.ACTIVATING: "activates the new generation",
    State.SETTLING: "has activated the new generation and watches units settle",
    State.WINDOW: "has activated the new generation and waits for confirmation",
    State.COMMIT_PROFILE: "moves the profile to the new generation",
    State.COMMIT_VERIFY: "verifies the profile",
    State.COMMITTED: "has committed: the profile names the new generation, which is active",
    State.ROLLING_BACK: "activates the previous generation again",
    State.ROLLED_BACK: "has rolled back: its previous generation is active again",
    State.ROLLBACK_FAILED: "could NOT activate its previous generation again",
    State.COMMIT_FAILED: "could NOT finish what it had begun with the profile",
    State.REFUSED: "refused the new generation; nothing was changed",
    State.INTERRUPTED: "lost power or was rebooted during the deployment; its previous generation is active again",
}
"""What is said in another way of a profile that is no NixOS system."""
_NEXT: dict[str, str] = {
    State.ROLLED_BACK: "fix the configuration and deploy again; nothing has to be done on the host",
    State.ROLLBACK_FAILED: "log in and look ('systemctl --failed', 'journalctl -u deploy-flake');"
    " a reboot starts the boot default",
    State.COMMIT_FAILED: "log in, free space on /boot or repair the boot loader, and run"
    " '/nix/var/nix/profiles/system/bin/switch-to-configuration boot'; do not reboot the host before that",
    State.SUPERSEDED: "find out who switched the host, and deploy again",
    State.INTERRUPTED: "wait until the host is up, and deploy again",
}
_NEXT_OF_SECRETS: dict[str, str] = _NEXT | {
    State.ROLLED_BACK: "mend what is named above and deploy again; nothing has to be done on the host",
    State.ROLLBACK_FAILED: "log in and look ('systemctl --failed', 'journalctl -u deploy-flake'), mend what is named"
    " above, and deploy again",
}
_NEXT_OF_A_PROFILE: dict[str, str] = {
    State.ROLLBACK_FAILED: "log in and look ('systemctl --failed', 'journalctl -u deploy-flake'); then deploy again",
    State.COMMIT_FAILED: "log in and look ('journalctl -u deploy-flake'), and deploy again",
}
_WAY_BACK_FAILED = (State.ROLLBACK_FAILED, State.COMMIT_FAILED)
_LOG_LINES = 20
_REASONS = 11
_GAP = "…"


def progress(
    state: str,
    mode: str = "",
    record: Mapping[str, Any] | None = None,
    kind: Kind = SYSTEM,
    *,
    only_secrets: bool = False,
) -> str:
    """A line for a state of a deployment; `record` is the host's, of one that has ended."""
    if kind.name:
        return _OF_A_PROFILE.get(state, _PROGRESS.get(state, state))
    if only_secrets:
        return _PROGRESS_OF_SECRETS.get(state, state)
    if state == State.COMMITTED and record and record.get("live") not in (record.get("to"), record.get("to_live")):
        return "has committed: the new system is the boot default, and runs after a reboot"
    if state == State.WINDOW and mode == Mode.BOOT:
        return "needs a reboot for the new system; waits for confirmation to make it the boot default"
    # A deployment that another release has begun may have other words.
    return _PROGRESS.get(state, state)


def is_of_secrets(record: Mapping[str, Any]) -> bool:
    """Whether nothing else was to change, by the host's record."""
    return record.get("only_secrets") == "yes"


def who_is_busy(error: HostError) -> str:
    """Who switches the host, from the refusal of a second deployment."""
    if error.answer is None or not error.answer.get("holder"):
        return str(error)
    about = read_record("{" + error.answer.get("holder_about") + "}")
    since = error.answer.get("holder").partition("-")[0]
    known = (about.get("configuration"), about.get("flake"))
    what = f": {known[0] or 'a system'} of {known[1] or 'a flake'}" if any(known) else ""
    # Whoever says that names the host.
    said = error.answer.get("message") or str(error)
    by, controller = about.get("by", "somebody"), about.get("controller", "some controller")
    return f"{said} (started by {by} on {controller} at {since}{what})"


def failure(host: str, deployment: str, state: str, record: Mapping[str, Any], kind: Kind = SYSTEM) -> str:
    """The message of a deployment that did not end well."""
    parts = [f"{host} {progress(state, kind=kind, only_secrets=is_of_secrets(record))}."]
    if why := record.get("why"):
        phase = f" (phase {record['phase']})" if record.get("phase") else ""
        parts.append(f"Why{phase}: {why.strip().rstrip('.')}.")
    parts.append(_now_of_a_profile(record) if kind.name else _now(record))
    parts.append(excerpt("Failed units", record.get("failed_units", "")))
    parts.append(excerpt("Journal", record.get("journal", "")))
    by = "the activation" if kind.name else "switch-to-configuration"
    parts.append(excerpt(f"Output of {by} (last {_LOG_LINES} lines)", record.get("log", "")))
    if state in _WAY_BACK_FAILED:
        parts.append(excerpt(f"Output of the way back (last {_LOG_LINES} lines)", record.get("undo_log", "")))
    place = f"-{kind.inputs['place']}" if kind.name else ""
    advice = _NEXT_OF_A_PROFILE.get(state, "") if kind.name else ""
    parts.append(
        f"Next: {advice or _next(state, record)}; the record is the line {deployment} in"
        f" /var/lib/deploy-flake{place}/deployments.jsonl."
    )
    return "\n".join(part for part in parts if part)


def loader_unknown(why: str) -> str:
    """What is not proven of a host whose boot loader says nothing."""
    return f"the boot loader's default is unknown: {why}"


def runs_until_reboot(generation: int | None) -> str:
    """What is not the same of an unchanged host whose boot default is another system."""
    boots = "the boot default" if generation is None else f"generation {generation}"
    return f"it runs until the next reboot, which starts {boots} again"


def undecided(host: str, values: Mapping[str, Any]) -> str:
    """What becomes of a deployment that nobody hears of, from return values; "" where nothing is known of that."""
    if not values.get("decides_by"):
        return ""
    return (
        f"Outcome unknown: what {host} has begun of deployment {values['deployment']}, it finishes or undoes by itself,"
        f" by {values['decides_by']} at the latest."
    )


def excerpt(title: str, text: str) -> str:
    """The last lines of a longer text below a title; "" where there are none."""
    found = lines(text)
    # What the host puts first, with a gap behind it, are the reasons.
    first = found.index(_GAP) + 1 if _GAP in found[:_REASONS] else 0
    if len(found) > _LOG_LINES:
        found = [*found[:first], *found[first - _LOG_LINES :]]
    return "\n".join((f"{title}:", *(f"  {line}" for line in found))) if found else ""


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
    runs = f"It runs {live}" if is_of_secrets(record) else f"It runs {live} ({said.get(live, 'another system')})"
    loader = record.get("loader_default") or boot
    if loader != boot:
        return f"{runs}; its boot loader starts {loader}, and its system profile is {boot or 'not there'}."
    return f"{runs} and would boot the same." if boot == live else f"{runs} and would boot {boot or 'nothing'}."


def _now_of_a_profile(record: Mapping[str, Any]) -> str:
    if not record:
        return "What is active now is not known."
    live, named = record.get("live", ""), record.get("boot", "")
    if not live and record.get("outcome") == State.COMMIT_FAILED:
        return f"What is active is not known; the profile names {named or 'nothing'}."
    also = "the profile names the same" if live == named else f"the profile names {named or 'nothing'}"
    return f"Activated last was {live}; {also}." if live else "Nothing of the profile is active."


_PROFILE_STANDS: dict[str, str] = {
    State.COMMITTED: "is live",
    ResultState.UNCHANGED: "was live before",
    State.ROLLED_BACK: "was rolled back",
    State.REFUSED: "was refused and is as before",
    State.SUPERSEDED: "is what somebody else has made of it",
    State.INTERRUPTED: "is as before",
    State.ROLLBACK_FAILED: "could NOT be rolled back",
    State.COMMIT_FAILED: "could NOT be finished",
    ResultState.WOULD_TEST: "would be tried",
    ResultState.NOT_BEGUN: "was not begun",
}


def profiles_stand(host: str, states: Iterable[tuple[str, str]]) -> str:
    """Where each profile of a host stands, after one of them has failed: its name and its state."""
    stand = (f"{name} {_PROFILE_STANDS.get(state, 'finishes or undoes it by itself')}" for name, state in states)
    return f"Profiles of {host}: {'; '.join(stand)}."


def after_refusal(why_code: str, again: str, *, only_secrets: bool = False) -> str:
    """What to do about a refusal; `again` is the verb for the next attempt."""
    if only_secrets and why_code == Why.UNITS_FAILED_BEFORE:
        return (
            "name the units in restart_units of the secrets that they have failed for want of, or in ignore_units if"
            f" they may fail, and {again} again, or do so with health_policy 'no_new_failures', which lets pass what"
            " had failed before; or mend them on the host first"
        )
    if why_code == Why.REBOOT_REQUIRED:
        return (
            f"set on_reboot_required to 'boot' or 'boot_and_reboot' and {again} again, without until_reboot if that"
            " is set, or boot the system once with the playbook trial"
        )
    if why_code == Why.UNITS_FAILED_BEFORE:
        return (
            f"{again} again with health_policy 'no_new_failures', which lets pass what had failed before, or with these"
            " units in ignore_units, if the new system mends them or they may fail; or mend them on the host first"
        )
    if why_code == Why.NOT_UP:
        return (
            "wait until it is up (limits.health gives it longer), or end what it still starts ('systemctl list-jobs'"
            f" and 'systemctl stop' on the host), and {again} again"
        )
    if why_code == Why.PRE_ACTIVATE_SCRIPT:
        return (
            f"see its output, mend what it names and {again} again; pre_activate_script, where it is empty"
            " (deploy_flake_pre_activate_script), leaves it out"
        )
    if why_code == Why.PRE_SWITCH_CHECKS:
        return f"see its output, mend what it names or the check in system.preSwitchChecks, and {again} again"
    if why_code == Why.SWITCH_LOCKED:
        return f"wait until whoever switches the host has ended ('nixos-rebuild' by hand, perhaps), and {again} again"
    return f"fix what is named above and {again} again"


def _next(state: str, record: Mapping[str, Any]) -> str:
    only_secrets = is_of_secrets(record)
    if state == State.REFUSED:
        # Records of earlier releases have no code.
        return after_refusal(record.get("why_code") or "", "deploy", only_secrets=only_secrets)
    if state == State.ROLLED_BACK and record.get("why_code") == Why.UNITS_FAILED:
        mend = "mend the secrets, or what reads them" if only_secrets else "fix the configuration"
        if not record.get("failed_units"):
            # Units of users, or something that no unit is named for.
            return (
                f"{mend}, or allow what the message names a word for, and deploy again; nothing has to be done on the"
                " host"
            )
        return (
            f"{mend}, or name the units that may fail, or end and be started again, in ignore_units"
            " (deploy_flake_ignore_units), and deploy again; nothing has to be done on the host"
        )
    if state == State.ROLLED_BACK and record.get("why_code") == Why.POST_ACTIVATE_SCRIPT:
        return (
            "see its output, mend what it names and deploy again; post_activate_script, where it is empty"
            " (deploy_flake_post_activate_script), leaves it out; what it has done itself stays as it is"
        )
    of_secrets = only_secrets or (state == State.ROLLED_BACK and record.get("why_code") == Why.SECRETS)
    return (_NEXT_OF_SECRETS if of_secrets else _NEXT).get(state, "look with the module system_info")
