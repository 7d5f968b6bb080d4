# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds a system on the host, in a unit there, and follows it to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._codes import BuildResult, Refusal
from .._flake.local import is_remote
from .._flake.reference import toplevel
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .evaluate import evaluate, fetch_hint, refuse_shut_out, which_there_are
from .nix_errors import ADVICE, LOCK_IT, NixError, recognised
from .older import compared, refuse_older
from .settings import BuildContext, BuildSettings
from .shortage import free_space, memory
from .transfer import Sources
from .unit_build import End, UnitBuild

_SWITCHES = "bin/switch-to-configuration"


def build(
    host: Host, settings: BuildSettings, context: BuildContext, look: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Answer]:
    """Send what the host lacks of the flake, build, and follow that to its end; the return values and the last answer.

    With `look`, the inputs of a look at the system, the host says as well when it runs the system already
    (`unchanged`).
    """
    look = look or {}
    if settings.toplevel:
        return _fetch(host, settings, look)
    evaluated_only = context.check_mode and not settings.check_builds
    if not settings.flake and is_remote(settings.reference, Path.cwd()):
        settings = replace(settings, flake=settings.reference, reference="")
    if not settings.flake:
        if evaluated_only:
            return _evaluate(host, settings, settings.reference), Answer()
        return _build(host, settings, settings.reference, None, look)
    with Sources(host, settings, context.shared_file(settings.flake)) as sources:
        sources.refuse_unlocked(settings.build_args)

        def attempt() -> tuple[dict[str, Any], Answer]:
            if not evaluated_only:
                return _build(host, settings, sources.reference, sources, look)
            sources.bring()
            return _evaluate(host, settings, sources.reference, sources), Answer()

        while True:
            try:
                result, answer = attempt()
                break
            except HostError as error:
                if error.reason != Refusal.INPUT_NOT_FETCHED or not sources.offer_more():
                    raise
                host.tell("could not fetch an input of the flake; it gets those that it lacks, and tries again")
        return {**result, **sources.facts(), "changed": result["changed"] or sources.bytes_sent > 0}, answer


def _build(
    host: Host, settings: BuildSettings, reference: str, sources: Sources | None, look: Mapping[str, str]
) -> tuple[dict[str, Any], Answer]:
    """Build the host's configuration."""
    configuration = settings.configuration or host.on_behalf_of
    unit = UnitBuild(host, settings, reference, toplevel(reference, configuration), sources, look)
    answer = unit.follow()
    path = answer.get("toplevel")
    if End.read(answer).result is not BuildResult.SUCCESS or not path:
        refuse_shut_out(host, answer, unit.log.error)
        _refuse_without_room(unit, answer)
        raise HostError(
            _why_not_built(unit, reference, configuration, answer) + _room_as_well(unit, answer), _refusal(unit)
        )
    result = _built(unit, answer, configuration, f"the configuration '{configuration}' built {path}, which")
    # Where the host runs it already, nothing goes backwards.
    if (of := compared(settings, sources)) and not answer.get("unchanged"):
        refuse_older(host, of, settings.on_older, answer)
    return result, answer


def _fetch(host: Host, settings: BuildSettings, look: Mapping[str, str]) -> tuple[dict[str, Any], Answer]:
    """Get a system that was built already."""
    unit = UnitBuild(host, settings, "", settings.toplevel, None, look)
    answer = unit.follow()
    if End.read(answer).result is not BuildResult.SUCCESS or not answer.get("toplevel"):
        _refuse_without_room(unit, answer)
        raise HostError(_why_not_fetched(unit, answer) + _room_as_well(unit, answer), Refusal.NOT_THERE)
    return _built(unit, answer, "", answer.get("toplevel")), answer


def _built(unit: UnitBuild, answer: Answer, configuration: str, what: str) -> dict[str, Any]:
    """The return values of a build that has ended well; HostError where what it built is no system."""
    lacks = answer.all("lacks")
    if lacks == [_SWITCHES]:
        why = f"cannot be switched to: it has no {_SWITCHES}. Does its configuration set system.switch.enable to false?"
        raise HostError(f"{what} {why}", Refusal.NOT_A_SYSTEM)
    if lacks:
        raise HostError(f"{what} is not a NixOS system: it has no {' and no '.join(lacks)}", Refusal.NOT_A_SYSTEM)
    for warning in unit.log.warnings:
        unit.host.tell_more(warning)
    return {
        "changed": unit.log.did_something,
        "toplevel": answer.get("toplevel"),
        "valid": True,
        "derivation": answer.get("derivation"),
        "configuration": configuration,
        "built": unit.log.built,
        "copied": unit.log.copied,
        "downloaded_bytes": unit.log.downloaded_bytes,
        "attached": unit.attached,
    }


def _evaluate(host: Host, settings: BuildSettings, reference: str, sources: Sources | None = None) -> dict[str, Any]:
    """The return values, where a configuration is evaluated and not built."""
    configuration = settings.configuration or host.on_behalf_of
    of = compared(settings, sources)
    rooted = sources.paths if sources else ""
    found = evaluate(host, settings, reference, configuration, rooted, ask_committed=of is not None)
    if of:
        refuse_older(host, of, settings.on_older, found.answer)
    return {
        "changed": not found.valid,
        "toplevel": found.toplevel,
        "valid": found.valid,
        "derivation": found.derivation,
        "configuration": configuration,
        "built": 0,
        "copied": 0,
        "downloaded_bytes": 0,
        "attached": False,
    }


def _refuse_without_room(unit: UnitBuild, answer: Answer) -> None:
    """HostError where nothing is wrong but the room on /nix: Nix was told to take only what is there already."""
    error = unit.log.error
    errors = recognised(error)
    if not answer.get("short") or End.read(answer).result is not None or NixError.MAY_NOT_BUILD not in errors:
        return
    # That is why it is not there.
    if NixError.CANNOT_FETCH in errors:
        return
    raise HostError(
        f"{_little_room(unit, answer)}. Nothing was built, and what is there already was not enough: {error}\nFree some"
        " with the playbook generations, with deploy_flake_collect_garbage, or ask for less"
        " (deploy_flake_min_free_space.nix)",
        Refusal.NO_SPACE,
    )


def _little_room(unit: UnitBuild, answer: Answer) -> str:
    needs = unit.settings.min_free_nix * 1024
    return f"{unit.host.name} has {answer.get('short')} KiB free on /nix, and needs {needs} KiB before it builds"


def _room_as_well(unit: UnitBuild, answer: Answer) -> str:
    """One more line to a message, where the room is not what is wrong first; "" where there is enough."""
    if not answer.get("short"):
        return ""
    return f"\n{_little_room(unit, answer)}: free some as well, or ask for less (deploy_flake_min_free_space.nix)."


def _why_not_built(unit: UnitBuild, reference: str, configuration: str, answer: Answer) -> str:
    what = f"{unit.host.name} could not build '{configuration}'; its system is untouched"
    end = End.read(answer)
    if end.result is BuildResult.TIMEOUT:
        return f"{what}. {_took_too_long(unit, 'The build')}"
    if killed := _killed(end, answer):
        return f"{what}. The build was {killed}"
    log = unit.log
    errors = recognised(log.error, log.log_tail)
    parts = [f"{what}.", log.error or f"nix ended with {end.status}"]
    if NixError.NO_SUCH_ATTRIBUTE in errors:
        parts.append(which_there_are(unit.host, unit.settings, reference, configuration))
    if log.failed_derivations:
        parts.append(f"Failing derivation: {', '.join(log.failed_derivations)}")
    if _refusal(unit) is Refusal.INPUT_NOT_FETCHED:
        parts.append(fetch_hint(unit.settings))
    if log.log_tail:
        parts.append("\n".join(("Its last lines:", *(f"  {line}" for line in log.log_tail))))
    if NixError.DISK_FULL in errors:
        parts.append(free_space(answer))
    if NixError.OUT_OF_MEMORY in errors:
        parts.append(memory(answer))
    if NixError.INCOMPLETE_LOCK_FILE in errors:
        parts.append(LOCK_IT)
    parts += [advice for error, advice in ADVICE.items() if error in errors]
    return "\n".join(parts)


def _refusal(unit: UnitBuild) -> Refusal:
    errors = recognised(unit.log.error)
    if NixError.INCOMPLETE_LOCK_FILE in errors:
        return Refusal.NOT_LOCKED
    # What a derivation fetches is no input.
    is_input = NixError.CANNOT_FETCH in errors and not unit.log.failed_derivations
    return Refusal.INPUT_NOT_FETCHED if is_input else Refusal.BUILD_FAILED


def _why_not_fetched(unit: UnitBuild, answer: Answer) -> str:
    host, path, log, end = unit.host, unit.settings.toplevel, unit.log, End.read(answer)
    what = f"{host.name} does not have {path}, and could not get it; its system is untouched"
    if end.result is BuildResult.TIMEOUT:
        return f"{what}. {_took_too_long(unit, 'Fetching it')}"
    if killed := _killed(end, answer):
        return f"{what}. Fetching it was {killed}"
    parts = [f"{what}.", log.error or f"nix ended with {end.status}", *log.warnings]
    if NixError.DISK_FULL in recognised(log.error, log.log_tail):
        parts.append(free_space(answer))
    else:
        parts.append(
            f"Copy it there ('nix copy --to ssh://{host.address or host.name} {path}'), or name a substituter that has"
            " it and the key that it is signed with ('substituters' and 'trusted-public-keys' in nix_config)."
        )
    return "\n".join(parts)


def _took_too_long(unit: UnitBuild, what: str) -> str:
    """Where it stood when its time was up."""
    at = unit.log.progress()
    stood = f" It was {at}." if at else ""
    return (
        f"{what} did not end within {unit.settings.build_timeout} s.{stood} Raise build_timeout"
        " (deploy_flake_build_timeout); what is done already is not done again."
    )


def _killed(end: End, answer: Answer) -> str:
    """By whom, as far as it is known; "" where it has ended by itself."""
    match end.result:
        case BuildResult.KILLED:
            return "killed, or could not write its result to /run, or the host was restarted before it could end."
        case BuildResult.OUT_OF_MEMORY:
            return f"killed by the kernel, since the host was out of memory (oom-kill).\n{memory(answer)}"
        case BuildResult.SIGNAL:
            return f"killed (signal {end.status}), perhaps for want of memory.\n{memory(answer)}"
    return ""
