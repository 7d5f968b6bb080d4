# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds a system on the host, in a unit there, and follows it to its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from .._codes import BuildResult, Refusal
from .._flake.local import is_remote
from .._flake.reference import SYSTEM, FlakeError
from .._host.answer import Answer, HostError
from .._host.connection import Host
from . import out_link
from .evaluate import evaluate, fetch_hint, outputs_of, refuse_shut_out, which_there_are
from .nix_errors import ADVICE, LOCK_IT, NixError, recognised
from .older import compared, refuse_older
from .settings import BuildContext, BuildSettings
from .shortage import free_space, memory
from .target import Target
from .transfer import Sources
from .unit_build import End, UnitBuild

T = TypeVar("T")

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
        return fetch(host, settings, look, needs_system=context.needs_system)
    evaluated_only = context.check_mode and not settings.check_builds
    if not settings.flake and is_remote(settings.reference, Path.cwd()):
        settings = replace(settings, flake=settings.reference, reference="")
    if not settings.flake:
        if evaluated_only:
            return _evaluate(host, settings, settings.reference), Answer()
        return build_one(host, settings, settings.reference, None, look, context.needs_system)
    with sources_for(host, settings, context) as sources:
        sources.refuse_unlocked(settings.build_args)

        def attempt() -> tuple[dict[str, Any], Answer]:
            if not evaluated_only:
                return build_one(host, settings, sources.reference, sources, look, context.needs_system)
            sources.bring()
            return _evaluate(host, settings, sources.reference, sources), Answer()

        result, answer = with_inputs(host, sources, attempt)
        return {**result, **sources.facts(), "changed": result["changed"] or sources.bytes_sent > 0}, answer


def sources_for(host: Host, settings: BuildSettings, context: BuildContext) -> Sources:
    """What the host needs of the flake, to use in a `with` statement; FlakeError where that cannot be."""
    if settings.file and is_remote(settings.flake, Path.cwd()):
        raise FlakeError(
            f"file (deploy_flake_file) is built of a directory on the controller, and {settings.flake!r} is a remote"
            " flake; give a clone of it"
        )
    shared_file = context.shared_file(f"{settings.flake} {settings.file}" if settings.file else settings.flake)
    return Sources(host, settings, shared_file)


def with_inputs(host: Host, sources: Sources, attempt: Callable[[], T]) -> T:
    """Try again with inputs that the controller brings, where the host could not fetch one."""
    while True:
        try:
            return attempt()
        except HostError as error:
            if error.reason != Refusal.INPUT_NOT_FETCHED or not sources.offer_more():
                raise
            host.tell("could not fetch an input of the flake; it gets those that it lacks, and tries again")


def build_one(
    host: Host,
    settings: BuildSettings,
    reference: str,
    sources: Sources | None,
    look: Mapping[str, str],
    needs_system: bool,
) -> tuple[dict[str, Any], Answer]:
    """Build the host's configuration, or whatever else is named."""
    target = Target.of(host, settings, reference, sources.file if sources else "")
    if taken := out_link.look(host, settings):
        if sources:
            sources.bring()
        rooted = sources.paths if sources else ""
        out_link.refuse_taken(host, settings, taken & outputs_of(host, settings, reference, target, rooted))
    unit = UnitBuild(host, settings, reference, target.installable, sources, look, needs_system)
    answer = unit.follow()
    path = answer.get("toplevel")
    if End.read(answer).result is not BuildResult.SUCCESS or not path:
        refuse_shut_out(host, answer, unit.log.error)
        _refuse_without_room(unit, answer)
        raise HostError(_why_not_built(unit, reference, target, answer) + _room_as_well(unit, answer), _refusal(unit))
    is_system = not answer.all("lacks")
    if needs_system and not is_system:
        raise HostError(_why_no_system(answer, target, path), Refusal.NOT_A_SYSTEM)
    result = _built(unit, answer, target.configuration)
    # Where the host runs it already, nothing goes backwards; nor with what it cannot run.
    if (of := compared(settings, sources)) and (is_system or host.kind.name) and not answer.get("unchanged"):
        refuse_older(host, of, settings.on_older, answer)
    return _linked(unit, result), answer


def fetch(
    host: Host,
    settings: BuildSettings,
    look: Mapping[str, str],
    compare: Sources | None = None,
    needs_system: bool = True,
) -> tuple[dict[str, Any], Answer]:
    """Get a system that was built already. With the sources that it was built from, it must not lead back."""
    out_link.look(host, settings)
    unit = UnitBuild(host, settings, "", (settings.toplevel,), None, look, needs_system, compare)
    answer = unit.follow()
    if End.read(answer).result is not BuildResult.SUCCESS or not answer.get("toplevel"):
        _refuse_without_room(unit, answer)
        raise HostError(_why_not_fetched(unit, answer) + _room_as_well(unit, answer), Refusal.NOT_THERE)
    if needs_system and answer.all("lacks"):
        raise HostError(_why_no_system(answer, None, answer.get("toplevel")), Refusal.NOT_A_SYSTEM)
    if (of := compared(settings, compare)) and not answer.get("unchanged"):
        refuse_older(host, of, settings.on_older, answer)
    return _linked(unit, _built(unit, answer, "")), answer


def _why_no_system(answer: Answer, target: Target | None, path: str) -> str:
    """Why what was built, or fetched, cannot be deployed."""
    of_configuration = target and target.configuration
    what = f"{'the configuration ' if of_configuration else ''}'{target.name}' built {path}, which" if target else path
    lacks = answer.all("lacks")
    if lacks == [_SWITCHES]:
        why = f"cannot be switched to: it has no {_SWITCHES}. Does its configuration set system.switch.enable to false?"
        return f"{what} {why}"
    why = f"{what} is not a NixOS system: it has no {' and no '.join(lacks)}"
    if not target or of_configuration:
        return why
    return (
        f"{why}. Only a system can be deployed: name its attribute, which ends in {SYSTEM} (deploy_flake_attribute);"
        " 'deploy-flake build' builds anything"
    )


def _built(unit: UnitBuild, answer: Answer, configuration: str) -> dict[str, Any]:
    """The return values of a build that has ended well."""
    for warning in unit.log.warnings:
        unit.host.tell_more(warning)
    outputs = out_link.outputs(unit.host, answer)
    return {
        **counts(unit),
        "toplevel": next(iter(outputs.values())),
        "outputs": outputs,
        "valid": True,
        "derivation": answer.get("derivation"),
        "configuration": configuration,
    }


def counts(unit: UnitBuild) -> dict[str, Any]:
    """The return values that say how much was done."""
    return {
        "changed": unit.log.did_something,
        "built": unit.log.built,
        "copied": unit.log.copied,
        "downloaded_bytes": unit.log.downloaded_bytes,
        "attached": unit.attached,
    }


def _linked(unit: UnitBuild, result: dict[str, Any]) -> dict[str, Any]:
    """The same with its link, where there is to be one; HostError where it cannot be made."""
    if not unit.settings.out_link:
        return result
    changed = out_link.make(unit.host, unit.settings, result["outputs"])
    return {**result, "changed": result["changed"] or changed, "out_link": unit.settings.out_link}


def _evaluate(host: Host, settings: BuildSettings, reference: str, sources: Sources | None = None) -> dict[str, Any]:
    """The return values, where a configuration is evaluated and not built."""
    target = Target.of(host, settings, reference, sources.file if sources else "")
    of = compared(settings, sources)
    rooted = sources.paths if sources else ""
    found = evaluate(host, settings, reference, target, rooted, ask_committed=of is not None)
    if of:
        refuse_older(host, of, settings.on_older, found.answer)
    return {
        "changed": not found.valid,
        "toplevel": found.toplevel,
        "outputs": {},
        "valid": found.valid,
        "derivation": found.derivation,
        "configuration": target.configuration,
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


def _why_not_built(unit: UnitBuild, reference: str, target: Target, answer: Answer) -> str:
    what = f"{unit.host.name} could not build '{target.name}'; its system is untouched"
    end = End.read(answer)
    if end.result is BuildResult.TIMEOUT:
        return f"{what}. {_took_too_long(unit, 'The build')}"
    if killed := _killed(end, answer):
        return f"{what}. The build was {killed}"
    log = unit.log
    errors = recognised(log.error, log.log_tail)
    parts = [f"{what}.", log.error or f"nix ended with {end.status}"]
    if NixError.NO_SUCH_ATTRIBUTE in errors and target.configuration:
        parts.append(which_there_are(unit.host, unit.settings, reference, target.configuration))
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
