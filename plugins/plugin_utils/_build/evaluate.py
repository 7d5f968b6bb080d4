# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evaluating a configuration on the host, without building it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._codes import CopyInputs, Refusal
from .._flake.reference import SYSTEM, configurations, nix_string
from .._flake.store_path import is_built, is_store_path
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .nix_command import eval_arguments, snapshot_of
from .nix_errors import ADVICE, LOCK_IT, NixError, message_in, recognised
from .pure import NOT_PURE, pure
from .settings import BuildSettings, CopySettings
from .shortage import free_space, memory
from .target import Target
from .waiting import telling

if TYPE_CHECKING:
    # It resolves references by evaluating.
    from .transfer import Sources

_NAMES = 20
_KILLED = ("9", "137", "247")
"""What systemd-run and a shell make of signal 9."""
_LISTING = 120
"""Seconds for the names of the configurations."""


@dataclass(frozen=True)
class Evaluated:
    """Which system a configuration is."""

    toplevel: str
    derivation: str
    """It is in the store of the host now."""
    valid: bool
    """Whether the host has the system already."""
    answer: Answer


def evaluate(
    host: Host,
    settings: BuildSettings,
    reference: str,
    target: Target,
    rooted: str = "",
    ask_committed: bool = False,
) -> Evaluated:
    """Evaluate a configuration of the flake that the host has, or fetches itself, or whatever else is the target.

    `rooted` are store paths that the host keeps for that, one a line. It is asked as well what it has committed, where
    that is to be compared.
    """
    host.tell("evaluates its configuration")
    paths = 's: builtins.unsafeDiscardStringContext (s.outPath + " " + s.drvPath)'
    arguments = ["--raw", "--apply", paths, *target.installable]
    doing, limit = "evaluating the configuration", settings.build_timeout
    answer = _eval(host, settings, reference, arguments, doing, limit, rooted, ask_committed)
    path, _space, derivation = answer.get("value").partition(" ")
    if answer.get("status") == "0" and is_store_path(path):
        return Evaluated(path, derivation, path in answer.all("valid"), answer)
    raise _not_evaluated(host, settings, reference, target, answer)


def evaluate_value(
    host: Host, settings: BuildSettings, reference: str, target: Target, apply: str, rooted: str = ""
) -> Any:
    """What a function of Nix makes of what the target names, as JSON has it; HostError where that fails."""
    host.tell(f"evaluates {target.name}")
    arguments = ["--json", "--apply", apply, *target.installable]
    doing = "evaluating the configuration"
    with telling(host, "evaluating the configuration"):
        answer = _eval(host, settings, reference, arguments, doing, settings.build_timeout, rooted)
    if answer.get("status") == "0":
        try:
            return json.loads(answer.get("value"))
        except (ValueError, RecursionError) as error:
            message = f"what {host.name} says of '{target.name}' is not understood: {error}"
            raise HostError(message, Refusal.NO_ANSWER) from error
    raise _not_evaluated(host, settings, reference, target, answer)


def _not_evaluated(host: Host, settings: BuildSettings, reference: str, target: Target, answer: Answer) -> HostError:
    """Why it could not be evaluated, and what mends it."""
    error = message_in(answer.get("error"))
    refuse_shut_out(host, answer, error)
    parts = [
        f"{host.name} could not evaluate '{target.name}'; its system is untouched.",
        error or f"nix eval ended with {answer.get('status')}",
    ]
    if NixError.NO_SUCH_ATTRIBUTE in recognised(error) and target.configuration:
        parts.append(which_there_are(host, settings, reference, target.configuration))
    parts += [advice for known, advice in ADVICE.items() if known in recognised(error)]
    if NixError.INCOMPLETE_LOCK_FILE in recognised(error):
        return HostError("\n".join((*parts, LOCK_IT)), Refusal.NOT_LOCKED)
    if NixError.OUT_OF_MEMORY in recognised(error) or answer.get("status") in _KILLED:
        parts.append(memory(answer))
    if NixError.DISK_FULL in recognised(error):
        parts.append(free_space(answer))
    if NixError.CANNOT_FETCH in recognised(error):
        return HostError("\n".join((*parts, fetch_hint(settings))), Refusal.INPUT_NOT_FETCHED)
    return HostError("\n".join(parts), Refusal.EVALUATION_FAILED)


def evaluate_together(
    host: Host, settings: BuildSettings, sources: Sources, names: Sequence[str]
) -> dict[str, Evaluated]:
    """Evaluate several configurations of the flake that the host has, in one call; HostError where that fails.

    What throws, as an assertion of NixOS does, is left out, and so are names that there are not.
    """
    host.tell(f"evaluates {len(names)} configurations")
    path = "builtins.unsafeDiscardStringContext"
    paths = f"let s = configuration.{SYSTEM}; in builtins.seq s.drvPath [ ({path} s.outPath) ({path} s.drvPath) ]"
    wanted = "builtins.listToAttrs (map (name: { inherit name; value = null; }) (builtins.fromJSON NAMES))"
    wanted = wanted.replace("NAMES", nix_string(json.dumps(list(names))))
    apply = (
        f"all: builtins.mapAttrs (name: configuration: builtins.tryEval ({paths}))"
        f" (builtins.intersectAttrs ({wanted}) all)"
    )
    arguments = ["--json", "--apply", apply, configurations(sources.reference)]
    with telling(host, f"evaluating {len(names)} configurations"):
        doing, limit = "evaluating the configurations", settings.build_timeout
        answer = _eval(host, settings, sources.reference, arguments, doing, limit, sources.paths, known=sources)
    error = message_in(answer.get("error"))
    refuse_shut_out(host, answer, error)
    if answer.get("status") != "0":
        cannot_fetch = NixError.CANNOT_FETCH in recognised(error)
        raise HostError(
            f"{host.name} could not evaluate all configurations at once: {error or answer.get('status')}",
            Refusal.INPUT_NOT_FETCHED if cannot_fetch else Refusal.EVALUATION_FAILED,
        )
    try:
        said = json.loads(answer.get("value"))
        values = {name: said[name]["value"] for name in names if name in said and said[name]["success"]}
        found = {name: Evaluated(path, derivation, False, answer) for name, (path, derivation) in values.items()}
        if wrong := [one for one in found.values() if not (is_built(one.toplevel) and is_store_path(one.derivation))]:
            raise ValueError(f"{wrong[0].toplevel!r} is not the store path of a system")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # What it says goes on to other hosts, whose root has Nix get it.
        raise HostError(
            f"what {host.name} says of the configurations is not understood: {error}", Refusal.NO_ANSWER
        ) from error
    return found


def outputs_of(host: Host, settings: BuildSettings, reference: str, target: Target, rooted: str) -> frozenset[str]:
    """The names of the outputs that are built; none where that cannot be told, which the build then says."""
    names = 's: s.meta.outputsToInstall or s.outputs or [ "out" ]'
    arguments = ["--json", "--apply", names, *target.installable]
    doing = "looking which outputs there are"
    answer = _eval(host, settings, reference, arguments, doing, settings.build_timeout, rooted)
    try:
        return frozenset(map(str, json.loads(answer.get("value"))))
    except (ValueError, TypeError):
        return frozenset()


def fetch_hint(settings: BuildSettings) -> str:
    """What else there is, where a host cannot fetch an input."""
    if not settings.flake or settings.file or settings.copy_inputs == CopyInputs.ALL:
        return "Let the host fetch it, as with access-tokens in nix_config."
    return (
        "Let the host fetch it, as with access-tokens in nix_config; or, for a flake on the controller, have that fetch"
        " it for the host: 'all' for copy_inputs (deploy_flake_copy_inputs)."
    )


def refuse_shut_out(host: Host, answer: Answer, error: str) -> None:
    """Say so where Nix's daemon does not let the login user in: Nix itself only says that the connection ended.

    What else Nix has said goes before it: the host asks the daemon once more, and may just be slow then.
    """
    user, allowed = answer.get("shut_out"), answer.get("allowed_users").split()
    if not user or (error and NixError.DAEMON_GONE not in recognised(error)):
        return
    why = "the directory of its socket is closed to them"
    mend = f"let '{user}' read the directory of the daemon's socket"
    if "*" not in allowed:
        why = f"its allowed-users are: {' '.join(allowed) or 'none'}"
        mend = f"add '{user}' to nix.settings.allowed-users of the host"
    raise HostError(
        f"Nix's daemon on {host.name} does not let the login user '{user}' in, who is to build; its system is untouched"
        f" ({why}). Next: log in as a user whom it lets in (ansible_user), or {mend}.",
        Refusal.SHUT_OUT,
    )


def which_there_are(host: Host, settings: BuildSettings, reference: str, wanted: str) -> str:
    """Say which configurations the flake has, where it does not have the one that was wanted."""
    arguments = ["--json", "--apply", "builtins.attrNames", configurations(reference)]
    answer = _eval(host, settings, reference, arguments, "listing the configurations", _LISTING)
    try:
        names = json.loads(answer.get("value"))
    except ValueError:
        return "The flake has no nixosConfigurations that could be listed."
    if len(names) > _NAMES:
        alike = difflib.get_close_matches(wanted, names, _NAMES, 0.4) or names[:_NAMES]
        return f"The flake has {len(names)} nixosConfigurations, among them {', '.join(alike)}."
    return f"The flake has these nixosConfigurations: {', '.join(names) or 'none'}."


def _eval(
    host: Host,
    settings: BuildSettings,
    reference: str,
    arguments: Sequence[str],
    doing: str,
    limit: int,
    rooted: str = "",
    ask_committed: bool = False,
    known: Sources | None = None,
) -> Answer:
    """With `known` sources the host may know already what it says of them."""
    nix_arguments, rooted = eval_arguments(settings, arguments), rooted or snapshot_of(reference)
    name = pure(settings, known, nix_arguments, host.login_user)
    return run_nix(host, host.persist, settings, nix_arguments, doing, limit, rooted, ask_committed, name)


def run_nix(
    host: Host,
    wait: Callable[[int, Callable[[], Answer], str], Answer],
    settings: CopySettings,
    nix_arguments: Sequence[str],
    doing: str,
    limit: int,
    rooted: str = "",
    ask_committed: bool = False,
    pure_name: Mapping[str, str] = NOT_PURE,
) -> Answer:
    """Run Nix on the host for something small, as the login user; `wait` is how the host is waited for.

    With what `pure` says of it the host may know the answer already.
    """
    return wait(
        settings.reconnect_timeout,
        lambda: host.run(
            "nix_eval",
            limit=limit + 60,
            eval_limit=str(limit),
            login_user=host.login_user,
            nix_arguments=nix_arguments,
            nix_config=settings.nix_config,
            pure=pure_name["pure"],
            flake_nix=pure_name["flake_nix"],
            sources=rooted,
            ask_committed="yes" if ask_committed else "no",
        ),
        doing,
    )
