# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes old generations. See the module's documentation."""

from __future__ import annotations

import secrets
import time
from typing import Any

from ..plugin_utils._action import HostAction
from ..plugin_utils._deployment import closure_diff
from ..plugin_utils._deployment.wait_while_busy import wait_while_busy
from ..plugin_utils._host.answer import Answer, HostError, number
from ..plugin_utils._host.connection import Host
from ..plugin_utils._host.scripts import assignments, program
from ..plugin_utils._status import generations
from ..plugin_utils._status.free_space import room

_POLL = 8
"""Seconds for which one poll waits on the host for the end."""


class ActionModule(HostAction):
    """The action of `deploy_flake.nixos.system_generations`."""

    module = "system_generations"

    def act(self, host: Host, options: dict[str, Any]) -> dict[str, Any]:
        """Look, choose, and have the host do it; it looks again, while no deployment can begin."""
        keep, days = options["keep"], options["keep_days"]
        if keep is None and days is None and not options["collect_garbage"]:
            raise HostError("give 'keep', 'keep_days' or 'collect_garbage: true'; nothing was done", "bad-option")
        for name in ("keep", "keep_days"):
            if (options[name] or 0) < 0:
                raise HostError(
                    f"'{name}' must not be negative, and is {options[name]}; nothing was done", "bad-option"
                )
        answer = host.run("info", limit=120, deployments="0")
        if answer.get("root") != "0":
            raise HostError(f"{host.name} needs root for this", "not-root")
        found = generations.read(answer)
        current = number(answer.get("generation"))
        choice = generations.choose(found, _protected(answer), current, int(answer.get("now")), keep, days)
        result: dict[str, Any] = {
            "changed": bool(choice.removed),
            "removed": [one.as_value() for one in choice.removed],
            "kept": [{"generation": one.number, "why": list(why)} for one, why in choice.kept],
            "boot_entries_written": False,
            "garbage": None,
            "free_space_before": room(answer),
            "free_space": room(answer),
        }
        if choice.removed:
            host.tell(_choice_in_words(choice, self.check_mode))
        idle = not choice.removed and not answer.get("unfinished_removal") and not options["collect_garbage"]
        if self.check_mode or idle:
            return result
        ended = wait_while_busy(host, options["lock_timeout"], lambda: self._carry_out(host, options, choice.removed))
        result |= _outcome(host, ended, choice.removed)
        if not result.get("failed"):
            host.tell(_in_words(result))
        return result

    def _carry_out(self, host: Host, options: dict[str, Any], removed: tuple[generations.Generation, ...]) -> Answer:
        limit, garbage_limit = options["boot_timeout"], options["garbage_timeout"]
        values = {
            "wanted": "\n".join(f"{one.number} {one.system}" for one in removed),
            "boot_limit": str(limit),
            "collect": "yes" if options["collect_garbage"] else "no",
            "garbage_limit": str(garbage_limit),
        }
        variables = {
            "id": secrets.token_hex(8),
            "program": program("prune"),
            "values": assignments(values),
            # The boot loader is tried twice.
            "runtime_limit": str(2 * limit + 120),
            "patience": str(_POLL),
        }
        ends = time.monotonic() + 2 * limit + 240 + (garbage_limit + 120 if options["collect_garbage"] else 0)

        def poll(over: str = "no") -> Answer:
            return host.run("prune", limit=_POLL + 120, over=over, **variables)

        patience = options["reconnect_timeout"]
        while not (answer := host.persist(patience, poll, "removing old generations")).get("result"):
            if time.monotonic() > ends:
                raise HostError(
                    f"{host.name} has not ended the removal of old generations in time; it goes on by itself. Look with"
                    " 'systemctl status deploy-flake*'",
                    "too-slow",
                )
        host.persist(patience, lambda: poll("yes"), "tidying up")
        what, _space, more = answer.get("result").partition(" ")
        if what == "busy":
            raise HostError(f"{host.name} is being switched by {more}", "busy", answer)
        return answer


def _protected(answer: Answer) -> dict[str, str]:
    """Systems that stay, and why."""
    found = dict.fromkeys((system for system in answer.all("open_system") if system), "open deployment")
    if answer.get("trial_in_progress"):
        found[answer.get("trial")] = "trial"
    for name, why in (("booted", "booted"), ("current", "current"), ("boot_default", "boot default")):
        if answer.get(name):
            found[answer.get(name)] = why
    return found


def _choice_in_words(choice: generations.Choice, check_mode: bool) -> str:
    """Which generations go, and why the others stay."""
    gone = ", ".join(str(one.number) for one in choice.removed)
    stay = ", ".join(f"{one.number} ({', '.join(why)})" for one, why in choice.kept)
    return f"{'would remove' if check_mode else 'removes'} generations {gone}; keeps {stay or 'none'}"


def _in_words(result: dict[str, Any]) -> str:
    """What was freed, and how much room there is now."""
    rooms = [room for room in result["free_space"].values() if room]
    free = " and ".join(f"{closure_diff.size(room['free_bytes'])} on {room['path']}" for room in rooms)
    garbage = result["garbage"]
    freed = f"freed {closure_diff.size(garbage['freed_bytes'])} in {garbage['paths']} store paths; " if garbage else ""
    return f"{freed}there are {free} free now"


def _outcome(host: Host, answer: Answer, chosen: tuple[generations.Generation, ...]) -> dict[str, Any]:
    """What came of it; failed where not all of it was done."""
    numbers = {int(number) for number in answer.all("removed")}
    garbage = _garbage(answer)
    result: dict[str, Any] = {
        "removed": [one.as_value() for one in chosen if one.number in numbers],
        "boot_entries_written": bool(answer.get("boot_written")),
        "garbage": garbage,
        "free_space": room(answer),
    }
    result["changed"] = bool(numbers or answer.get("boot_written") or (garbage and garbage["paths"]))
    if problem := _problem(host, answer, garbage):
        reason, said = problem
        log = [line for line in answer.get("log").splitlines() if line.strip()][-10:]
        words = (
            "\nIts last words:\n" + "\n".join(f"  {line}" for line in log) if log and reason == "boot-failed" else ""
        )
        result |= {"failed": True, "reason": reason, "msg": f"{host.name}: {said}{words}"}
    elif left := sorted({one.number for one in chosen} - numbers):
        host.warn(f"generations that have come to be needed meanwhile were kept: {', '.join(map(str, left))}")
    return result


def _problem(host: Host, answer: Answer, garbage: dict[str, Any] | None) -> tuple[str, str] | None:
    what, _space, more = answer.get("result").partition(" ")
    match what:
        case "boot-failed":
            return what, (
                f"the boot loader could not be written (switch-to-configuration boot ended with {more}), so all"
                " generations are there again and no garbage was collected. Look what the boot loader offers before the"
                " host is rebooted; make room on the boot partition by hand, and run this again"
            )
        case "killed":
            return what, (
                "the removal of generations was ended by somebody before it was done. Nothing that a boot loader entry"
                " needs is gone; run this again, which finishes it"
            )
        case "no-profile":
            return what, "there is no system profile, so no generation was removed"
        case "no-garbage-unit":
            return what, f"generations were removed, but no garbage could be collected: {answer.get('log').strip()}"
    if garbage and garbage["status"]:
        late = garbage["status"] in (124, 137, 143)
        why = "did not end in time" if late else f"ended with {garbage['status']}: {answer.get('garbage_log').strip()}"
        return "garbage", f"generations were removed, but 'nix-store --gc' {why}; what it had freed by then is free"
    return None


def _garbage(answer: Answer) -> dict[str, Any] | None:
    """What was freed: as Nix says, and as it was measured."""
    if not answer.get("garbage"):
        return None
    status, before, after = (int(number) for number in answer.get("garbage").split())
    paths, freed = generations.freed(answer.get("garbage_log"))
    return {"paths": paths, "freed_bytes": freed, "measured_bytes": (after - before) * 1024, "status": status}
