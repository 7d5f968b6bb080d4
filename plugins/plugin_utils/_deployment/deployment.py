# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The actions of a deployment: they start it or speak with it, and end with the same kind of result."""

from __future__ import annotations

import getpass
import json
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .._flake.store_path import is_store_path
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .._host.scripts import assignments, program
from . import check_mode as foresight
from . import diff as changes
from . import messages as report
from .busy import in_turn

# Read before Ansible starts a process for each host, as the options are.
_PROGRAM = program("deployment")
FINAL = frozenset(
    ("committed", "rolled-back", "rollback-failed", "commit-failed", "refused", "superseded", "interrupted")
)
_CONFIRM = 120
"""Seconds to wait for confirmation, where nobody says otherwise."""
_QUIET = 10
"""Seconds for which a poll keeps to itself what is only progress: a quick deployment is over in one poll."""
_POLL = 2
"""Seconds for which it waits for any news after that."""


class Deployment:
    """One deployment on one host, seen from the controller."""

    def __init__(self, host: Host, deployment_id: str, reconnect_timeout: float) -> None:
        self.host = host
        self.addresses: Sequence[str] = ()
        """Where it may answer, tried in turn; none where only Ansible's own way is meant."""
        self.id = deployment_id
        self.reconnect_timeout = reconnect_timeout
        self.state = ""
        self.time_to_undo = 0
        self.changes: dict[str, Any] = {}
        """Return values about what is different in the new system, where somebody asked for it."""

    def ask(self, command: str, /, awaited: str = "window", limit: float = 60, **variables: str) -> Answer:
        """Run a command that ends with how the deployment does, and note the state that it says.

        It waits for one of the awaited states or the end, and after a moment for any news.
        """
        quiet = self.host.quiet(_QUIET)
        patience = quiet + _POLL
        variables |= {"known": self.state, "awaited": awaited, "patience": str(patience), "quiet": str(quiet)}
        answer = self.host.persist(
            self.reconnect_timeout,
            lambda: self.host.run(command, limit=patience + limit, id=self.id, **variables),
            f"deployment {self.id} is {self.state or 'starting'}",
            self.addresses,
        )
        # The directory of a deployment that has ended may be gone between two looks at it; its line is not.
        record = report.read_record(answer.get("record"))
        state = str(record.get("outcome") or answer.get("state"))
        if state and state != self.state:
            self.state = state
            self.host.tell(report.progress(state, answer.get("mode"), record))
        return answer

    def follow(
        self,
        answer: Answer,
        until: Callable[[str], bool],
        command: str = "poll",
        awaited: str = "window",
        **variables: str,
    ) -> Answer:
        """Poll with a script until the state is one that is waited for, or final."""
        silent = 0
        while not (self.state in FINAL or until(self.state)):
            if self.state == "unknown":
                raise HostError(
                    f"{self.host.name} knows nothing of deployment {self.id} any more: it was restarted or lost"
                    " power in the middle. It boots its previous system unless the deployment was confirmed;"
                    " deploy again, which repairs what is left",
                    "unknown-deployment",
                )
            # Neither unit is there, and still no final state: nobody is at work.
            silent = silent + 1 if answer.get("holder") in ("inactive", "failed") else 0
            if silent > 10:
                raise HostError(
                    f"deployment {self.id} on {self.host.name} is {self.state}, and no unit is at work on it;"
                    " the next deployment repairs it",
                    "abandoned",
                )
            answer = self.ask(command, awaited=awaited, limit=60, **variables)
        return answer


def new_id() -> str:
    """A name for a deployment: when, and something that nobody else has."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def start(
    host: Host,
    options: Mapping[str, Any],
    mode: str,
    check_mode: bool,
    batches: int = 0,
    diff: bool = False,
    to: str | None = None,
    since_boot: str = "",
) -> tuple[Deployment | None, Answer, Answer]:
    """Start the supervisor for `options['toplevel']`; None when there is nothing to do. Waits for its turn.

    The answers are what the host said of itself before, and how the deployment does.
    `batches` is in how many batches of forks a fleet is tested that commits everywhere or nowhere, else 0. In check
    mode the host looks at what a deployment would do. With `diff` it is asked what changes. `to` is for a rollback: the
    host itself finds the system where it says `previous` or the number of a generation. The system was
    just built where the boot id of that moment is given as `since_boot`: then the host looks and starts in one go.
    """
    toplevel = options["toplevel"] or ""
    if not to and not is_store_path(toplevel):
        raise HostError(f"toplevel must be a store path, and is {toplevel!r}", "not-a-store-path")
    specialisation = options["specialisation"] or ""
    if specialisation and mode == "boot":
        raise HostError(
            "a specialisation can only be tried live: what boots by default is always the system that it belongs to;"
            " leave 'specialisation' out, or test the system",
            "specialisation-without-test",
        )
    deployment = Deployment(host, new_id(), options["reconnect_timeout"])
    limits = _limits(options, batches)
    deployment.time_to_undo = _time_to_undo(limits)

    def attempt() -> tuple[Deployment | None, Answer, Answer]:
        nonlocal since_boot
        # After a wait for others the build is not that recent any more.
        built_at, since_boot = since_boot, ""
        if built_at and not (check_mode or diff or to):
            answer = _launch(deployment, options, mode, limits, toplevel, built_at)
            return None if answer.get("unchanged") else deployment, answer, answer
        before = _look(deployment, options, mode, limits, check_mode, diff, to, begins=True)
        if to and not before.get("unchanged"):
            goes = "would go" if check_mode else "goes"
            host.tell(f"{goes} back to generation {before.get('generation_to')}, {before.get('toplevel')}")
        if before.get("unchanged") or check_mode:
            return None, before, before
        chosen = before.get("toplevel") or toplevel
        if diff:
            activated = before.get("new_live") if mode == "test" else chosen
            deployment.changes = changes.look(host, activated, mode, options["reconnect_timeout"])
        return deployment, before, _launch(deployment, options, mode, limits, chosen, before.get("boot_id"), before)

    try:
        return in_turn(host, options["lock_timeout"], attempt)
    except HostError as error:
        if check_mode and error.answer is not None:
            error.result = foresight.refused(options, error.answer)
        raise


def preflight(host: Host, options: Mapping[str, Any]) -> Answer:
    """What is refused of any system that is to become the boot default, before anything is begun."""
    deployment = Deployment(host, new_id(), options["reconnect_timeout"])
    return _look(deployment, options, "boot", _limits(options, 0), check_mode=False, diff=False, to=None)


def _look_variables(
    host: Host,
    options: Mapping[str, Any],
    mode: str,
    check_mode: bool,
    just_built: bool = False,
    to: str | None = None,
) -> dict[str, str]:
    """What look_first in look.sh has to know."""
    boot_mib = options["min_free_space"].get("boot")
    return {
        **look_variables(host, options, mode),
        "check_mode": _yes(check_mode),
        "just_built": _yes(just_built),
        "rollback_to": "" if to is None else to or "toplevel",
        "need_nix_kib": str(options["min_free_space"]["nix"] * 1024),
        "need_boot_kib": "" if boot_mib is None else str(boot_mib * 1024),
    }


def look_variables(host: Host, options: Mapping[str, Any], mode: str) -> dict[str, str]:
    """What look_at_system in look.sh has to know."""
    return {
        "specialisation": options["specialisation"] or "",
        "mode": mode,
        "over_ssh": _yes(host.over_ssh),
        "allow": " ".join(options["allow"]),
    }


def _look(
    deployment: Deployment,
    options: Mapping[str, Any],
    mode: str,
    limits: Mapping[str, int],
    check_mode: bool,
    diff: bool,
    to: str | None = None,
    begins: bool = False,
) -> Answer:
    """Ask whether there is anything to do, and whether it may be tried; in check mode, what it would do as well."""
    host = deployment.host
    limit = 240
    variables = {
        "new": options["toplevel"] or "",
        **_look_variables(host, options, mode, check_mode, to=to),
        "begins": _yes(begins and not check_mode),
    }
    if check_mode:
        limit += foresight.limit(limits) + (changes.LIMIT if diff else 0)
        variables |= {
            "id": deployment.id,
            "settings": _settings(host, options, mode, limits),
            "foresee": program("check_mode"),
            "foresee_limit": str(foresight.limit(limits)),
            "diff": _yes(diff),
        }
    return host.persist(
        options["reconnect_timeout"], lambda: host.run("look", limit=limit, **variables), "looking at the host"
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _launch(
    deployment: Deployment,
    options: Mapping[str, Any],
    mode: str,
    limits: Mapping[str, int],
    toplevel: str,
    since_boot: str,
    before: Answer | None = None,
) -> Answer:
    """Start the supervisor, and wait for first news in the same go; where nobody has looked before, look first."""
    host = deployment.host
    about = _about(deployment.id, options, before.get("generation_to") if before else "")
    if before is None:
        look = {"look": "yes", **_look_variables(host, options, mode, check_mode=False, just_built=True)}
    else:
        look = {"look": "no", "new_live": before.get("new_live"), "allow": " ".join(options["allow"])}
    return deployment.ask(
        "start",
        limit=240,
        awaited="window" if mode == "test" else "",
        since_boot=since_boot,
        new=toplevel,
        **look,
        install_bootloader="yes" if options["install_bootloader"] else "",
        login_user=host.login_user,
        runtime_limit=str(_runtime(limits)),
        stop_limit=str(_time_to_undo(limits)),
        settings=_settings(host, options, mode, limits),
        about=about,
        program=_PROGRAM,
    )


def _limits(options: Mapping[str, Any], batches: int) -> dict[str, int]:
    given = {name: value for name, value in options["limits"].items() if value is not None}
    if batches:
        # The first host waits while every batch of forks tests, the slowest host included.
        needed = batches * sum(given[name] for name in ("health", "check", "activate", "settle")) + _CONFIRM
        if given.setdefault("confirm", needed) < needed:
            raise HostError(
                f"the limit 'confirm' is {given['confirm']} s, and a fleet that commits everywhere or nowhere needs"
                f" {needed} s ({batches} batches of forks); raise it, use more forks, or leave it out",
                "bad-limit",
            )
    given.setdefault("confirm", _CONFIRM)
    for name, value in given.items():
        if value < 0 or (value == 0 and name != "settle"):
            raise HostError(f"the limit '{name}' must be a positive number of seconds, and is {value}", "bad-limit")
    return given


def _runtime(limits: Mapping[str, int]) -> int:
    """All phases of the supervisor, commit included; looking at ssh and the like takes its share."""
    once = ("health", "activate", "settle")
    # The window may be extended once.
    twice = 2 * (limits["check"] + limits["confirm"])
    return sum(limits[name] for name in once) + twice + 4 * limits["commit"] + 240


def _time_to_undo(limits: Mapping[str, int]) -> int:
    """The undo: three ways back, and the boot side."""
    return 3 * limits["rollback"] + 3 * limits["commit"] + 90


def _settings(host: Host, options: Mapping[str, Any], mode: str, limits: Mapping[str, int]) -> str:
    values = {
        "specialisation": options["specialisation"] or "",
        "mode": mode,
        "over_ssh": _yes(host.over_ssh),
        "policy": options["health_policy"],
        "ignore_units": "\n".join(options["ignore_units"]),
        "pre_activate_script": options["pre_activate_script"] or "",
        "last_resort_reboot": _yes(options["last_resort_reboot"]),
        "on_reboot_required": options["on_reboot_required"],
    }
    return assignments(values | {f"{name}_limit": str(seconds) for name, seconds in limits.items()})


def _about(deployment_id: str, options: Mapping[str, Any], generation: str) -> str:
    """What the controller knows of the deployment, as the beginning of its line in deployments.jsonl.

    `generation` is the one that a rollback leads to, if any.
    """
    values = {
        "id": deployment_id,
        "by": getpass.getuser(),
        "controller": socket.gethostname(),
        "flake": options["flake"] or "",
        "revision": options["revision"] or "",
        "configuration": options["configuration"] or (f"generation {generation}" if generation else ""),
        "nar_hash": options.get("nar_hash") or "",
        "specialisation": options["specialisation"] or "",
    }
    return ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())


def unchanged(before: Answer) -> dict[str, Any]:
    """The return values where a host runs and boots the system already."""
    generation = report.number(before.get("generation"))
    return {"changed": False, "deployment": "", "state": "unchanged", "generation": generation}


def result_of(host: Host, deployment: Deployment, answer: Answer) -> dict[str, Any]:
    """The return values of a deployment, from the host's last answer; failed unless it waits or is committed."""
    record = report.read_record(answer.get("record"))
    result: dict[str, Any] = {
        "deployment": deployment.id,
        "state": deployment.state,
        "changed": deployment.state not in ("refused",),
    }
    if record:
        result |= {
            "previous_system": record.get("from", ""),
            "previous_boot_default": record.get("from_boot", ""),
            "system": record.get("live", ""),
            "boot_default": record.get("boot", ""),
            "generation": report.number(record.get("generation", "")),
            "notes": report.lines(record.get("notes", "")),
            "failed_units": report.lines(record.get("failed_units", "")),
        }
    if deployment.state in FINAL and deployment.state != "committed":
        # A system that somebody else put there is not ours to speak of as changed.
        result["changed"] = deployment.state in ("rollback-failed", "commit-failed")
        result |= {"failed": True, "msg": report.failure(host.name, deployment.id, deployment.state, record)}
    if record:
        result["reboot_required"] = record.get("reboot_required") == "yes"
    elif deployment.state == "window":
        result["reboot_required"] = answer.get("mode") == "boot"
    for note in result.get("notes", []):
        host.warn(note)
    return result
