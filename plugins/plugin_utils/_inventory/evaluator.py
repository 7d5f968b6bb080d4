# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has a flake evaluated for the hosts that it names: by the controller's Nix, or by a host that has some."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure

from .._build.build import with_inputs
from .._build.evaluate import refuse_shut_out, run_nix
from .._build.known_secrets import known_secrets
from .._build.lock import has_nix, lock
from .._build.nix_command import FEATURES, for_unit
from .._build.nix_errors import ADVICE, NixError, message_in, recognised
from .._build.settings import CopySettings
from .._build.transfer import Sources
from .._build.waiting import telling
from .._codes import Refusal
from .._flake import program
from .._flake.reference import FlakeError, nix_string
from .._flake.shared import shared_flake
from .._flake.snapshot import Snapshot
from .._host.answer import HostError
from .named_host import Nobody, Quiet

_WAITS = 60
"""Seconds for what is no evaluation."""


class Evaluator:
    """What one flake says of its hosts. `remember` says what was evaluated before, by its key; None for nothing."""

    def __init__(
        self,
        settings: CopySettings,
        variables: Mapping[str, Sequence[str]],
        limit: int,
        file: Path,
        remember: Callable[[str], Any],
    ) -> None:
        self._settings = settings
        self._variables = variables
        self._limit = limit
        self._file = file
        self._remember = remember
        self.key = ""
        """The same for the same content and revision of the flake, and the same questions."""

    def here(self) -> Any:
        """What the controller's Nix says, if it has one; FlakeError or HostError where nobody can say it."""
        nobody = Nobody()
        fetch = partial(lock, nobody, self._settings)
        try:
            shared = shared_flake(self._settings.flake, Path.cwd(), self._file, fetch, known_secrets())
        except HostError as error:
            # Nobody was to build anything.
            why = str(error).splitlines()[1:] if error.reason == Refusal.NOT_FETCHED else [str(error)]
            raise FlakeError("\n".join([f"the flake {self._settings.flake!r} could not be fetched", *why])) from error
        with shared.snapshot as snapshot:
            expression = self._ask(shared.flake.locked_reference(snapshot))
            if (known := self._remember(self.key)) is not None:
                return known
            if not has_nix():
                raise FlakeError(
                    "this machine has no Nix to evaluate the flake: name with 'evaluate_on' a host that has, or with"
                    " 'file' a file that says which hosts there are"
                )
            with telling(nobody, "evaluating the flake here"):
                self._add(snapshot)
                return _read(self._nix("eval", *FEATURES, "--json", "--expr", expression))

    def on(self, host: Quiet) -> Any:
        """What the host says; HostError or AnsibleConnectionFailure where it cannot."""
        with Sources(host, self._settings, self._file) as sources:
            expression = self._ask(sources.reference)
            if (known := self._remember(self.key)) is not None:
                return known
            host.tell("evaluates which hosts the flake has")
            try:
                with telling(host, "evaluating which hosts the flake has"):
                    return with_inputs(host, sources, partial(self._once, host, sources, expression))
            finally:
                # Nothing is built of it there, so nobody else would.
                with suppress(HostError, AnsibleConnectionFailure):
                    host.run("copy_drop", paths=sources.paths, limit=_WAITS)

    def _ask(self, reference: str) -> str:
        """What is evaluated of a locked flake. Every value of others in it is a string of Nix."""
        given = nix_string(json.dumps({name: list(path) for name, path in self._variables.items()}))
        nodes = Path(__file__).with_name("nodes.nix").read_text(encoding="utf-8")
        expression = f"({nodes}) (builtins.fromJSON {given}) (builtins.getFlake {nix_string(reference)})"
        self.key = hashlib.sha256(expression.encode(errors="surrogateescape")).hexdigest()
        return expression

    def _once(self, host: Quiet, sources: Sources, expression: str) -> Any:
        sources.bring()
        arguments = for_unit("eval", *FEATURES, "--json", "--expr", expression)
        doing = "evaluating which hosts the flake has"
        answer = run_nix(host, host.contact, self._settings, arguments, doing, self._limit, sources.paths)
        error = message_in(answer.get("error"))
        refuse_shut_out(host, answer, error)
        if answer.get("status") != "0":
            cannot_fetch = NixError.CANNOT_FETCH in recognised(error)
            raise HostError(
                _said(host.name, error or f"nix eval ended with {answer.get('status')}"),
                Refusal.INPUT_NOT_FETCHED if cannot_fetch else Refusal.EVALUATION_FAILED,
            )
        return _read(answer.get("value"))

    def _add(self, snapshot: Snapshot) -> None:
        """Put the snapshot into the controller's store, from where it is evaluated as it would be on a host."""
        with tempfile.TemporaryDirectory(prefix="deploy-flake-") as directory:
            source = str(Path(directory, "source"))
            self._nix("--restore", source, program_name="nix-store", given=snapshot)
            added = self._nix("--add-fixed", "--recursive", "sha256", source, program_name="nix-store").strip()
        if added != snapshot.store_path:
            raise FlakeError(f"this machine's Nix has put the flake at {added}, and {snapshot.store_path} was expected")

    def _nix(self, *arguments: str, program_name: str = "nix", given: Snapshot | None = None) -> str:
        # Not in a process list.
        environment = os.environ | {
            "NIX_CONFIG": f"{os.environ.get('NIX_CONFIG', '')}\n{self._settings.nix_config}",
        }
        if given is not None:
            given.nar.seek(0)
        reads = subprocess.DEVNULL if given is None else given.nar
        try:
            status, answer, said = program.run([program_name, *arguments], environment, self._limit, given=reads)
        except (OSError, subprocess.SubprocessError) as error:
            raise FlakeError(f"this machine could not evaluate the flake: {error}") from error
        if status != 0:
            raise FlakeError(_said("this machine", message_in(said) or said.strip() or f"it ended with {status}"))
        return answer.decode(errors="surrogateescape")


def _said(who: str, error: str) -> str:
    known = recognised(error)
    advice = [words for one, words in ADVICE.items() if one in known]
    return "\n".join([f"{who} could not evaluate which hosts the flake has.", error, *advice])


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise FlakeError("Nix has said nothing of the flake's hosts that is known here") from error
