# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A remote flake is resolved once a run, freshly, and its source read, so that every host gets the very same.

By the controller where it can, with the operator's own access: with Nix, or with git. Else by the host that needs it
first; where that one cannot either, the next one is asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from .._codes import Refusal
from .._flake import program
from .._flake.credentials import Credentials
from .._flake.git import GitError
from .._flake.git_remote import fetch_git_flake
from .._flake.locked import Fetched, LockedFlake, read_metadata
from .._flake.reference import FlakeError, add_parameters
from .._flake.shared import history_of, unlocked_of
from .._flake.snapshot import Snapshot
from .._flake.store_path import parse_sha256, source_store_path, sri
from .._flake.unlocked import OVERRIDING, WITHOUT_LOCK_FILE
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .._printable import without_logins
from .evaluate import refuse_shut_out, run_nix
from .nix_command import FEATURES, for_unit
from .nix_errors import LOCK_IT, NixError, message_in, recognised
from .settings import BuildSettings, CopySettings
from .waiting import telling

_PART = 8 << 20
"""Bytes of a packed source that one command of a host hands out."""
_INPUT = re.compile(r"^• \w+ input '([^']*)'", re.MULTILINE)
"""Names of inputs, in what Nix says to people of a lock file that it would write."""

Nix = Callable[[Sequence[str]], tuple[int, str, str]]
"""Runs Nix with these arguments: its exit code, what it answers, and what it says."""


class _CannotError(Exception):
    """Why one machine could not resolve a reference; the next one is asked."""


@dataclass
class _Tried:
    """Who could not resolve a reference in this run, and why: the other hosts need not wait for the same once more."""

    here: list[str] | None = None
    """Why the controller could not; None where it has not tried."""
    hosts: dict[str, str] = field(default_factory=dict)
    """Why each host that was asked could not."""
    refusal: tuple[str, str] | None = None
    """What is wrong with the flake for everybody: a reason, if any, and a sentence."""
    told: list[str] = field(default_factory=list)
    """The hosts that know all that."""


_ENOUGH = 2
"""So many hosts that cannot fetch it speak for all: one alone may lack a network, a name server or a newer Nix."""


def lock(host: Host, settings: CopySettings, reference: str, file: BinaryIO) -> Fetched:
    """Resolve a reference, and write the NAR of its source into the file.

    Raises HostError with what each machine that was asked has said. That is kept beside the file, for the other hosts
    of the run.
    """
    # Other credentials, or other wishes about inputs, may well lead to something.
    asked = ascii((Credentials.read(settings.nix_config, os.environ).key, settings.nix_config, _wishes_of(settings)))
    kept = Path(file.name).with_suffix(f".failed-{hashlib.sha256(asked.encode()).hexdigest()[:16]}")
    tried = _Tried(**json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else _Tried()
    if host.name in tried.told:
        # It asks again, in a retry or a later play: what was in the way may be gone.
        tried = _Tried()
    try:
        if tried.refusal:
            reason, message = tried.refusal
            raise HostError(message, Refusal(reason)) if reason else FlakeError(message)
        if len(tried.hosts) >= _ENOUGH:
            raise _not_fetched(host, reference, tried)
        return _lock(host, settings, reference, file, tried)
    except (HostError, FlakeError) as error:
        # What else a host may say is of itself alone.
        if isinstance(error, FlakeError) or error.reason == Refusal.NOT_LOCKED:
            tried.refusal = (error.reason or "" if isinstance(error, HostError) else "", str(error))
        tried.told.append(host.name)
        raise
    finally:
        kept.write_text(json.dumps(asdict(tried)), encoding="utf-8")


def _lock(host: Host, settings: CopySettings, reference: str, file: BinaryIO, tried: _Tried) -> Fetched:
    has_login = without_logins(reference) != reference
    if tried.here is None:
        failed: list[str] = []
        ways: list[Callable[..., Fetched | None]] = [_with_nix, _with_git]
        if has_login or without_logins(reference).startswith(("git+", "git:")):
            # A login is an argument of Nix, which other users can read. And what git has fetched, it can compare with
            # what hosts have committed.
            ways.reverse()
        who = "this machine"
        for resolve in ways:
            _empty(file)
            if has_login and resolve is _with_nix and has_nix():
                _warn_of_login(host, who)
            try:
                with telling(host, "waits for the flake, which the controller fetches"):
                    found = resolve(settings, reference, file)
            except _CannotError as error:
                failed.append(f"{who}: {error}")
            else:
                if found:
                    return _told(host, found, who)
        tried.here = failed
    _empty(file)
    if has_login:
        _warn_of_login(host, host.name)
    try:
        return _told(host, _on_host(host, settings, reference, file), host.name)
    except _CannotError as error:
        tried.hosts[host.name] = str(error)
    raise _not_fetched(host, reference, tried)


def _not_fetched(host: Host, reference: str, tried: _Tried) -> HostError:
    why = [*(tried.here or ()), *(f"{name}: {said}" for name, said in tried.hosts.items())]
    return HostError(
        "\n".join((f"the flake {reference!r} could not be fetched; {host.name} was not asked to build it.", *why)),
        Refusal.NOT_FETCHED,
    )


def _warn_of_login(host: Host, who: str) -> None:
    host.warn(
        f"the URL of the flake has a login in it, which every user of {who} could read among the arguments of Nix. Keep"
        " it out of the URL: as access-tokens or netrc-file in nix_config (deploy_flake_nix_config), or in a netrc file"
    )


def _empty(file: BinaryIO) -> None:
    """Take away what an attempt has left."""
    file.seek(0)
    file.truncate()


def _told(host: Host, found: Fetched, who: str) -> Fetched:
    host.tell(f"the flake is {found.flake.url} for all hosts, as {who} has found it")
    return found


def has_nix() -> bool:
    """Whether the controller has a Nix of its own."""
    return shutil.which("nix") is not None and shutil.which("nix-store") is not None


def _with_nix(settings: CopySettings, reference: str, file: BinaryIO) -> Fetched | None:
    if not has_nix():
        return None
    # Not in a process list.
    environment = os.environ | {"NIX_CONFIG": f"{os.environ.get('NIX_CONFIG', '')}\n{settings.nix_config}"}
    limit = settings.copy_timeout

    def run(arguments: Sequence[str]) -> tuple[int, str, str]:
        status, answer, said = program.run(["nix", *arguments], environment, limit)
        return status, answer.decode(errors="replace"), said

    try:
        flake, path = _metadata(run, settings, reference)
        status, _answer, said = program.run(["nix-store", "--dump", path], environment, limit, file)
    except (OSError, subprocess.SubprocessError) as error:
        raise _CannotError(f"its Nix failed: {error}") from error
    if status != 0:
        raise _CannotError(f"its Nix failed: {_last(said) or f'nix-store ended with {status}'}")
    return _checked(flake, file)


def _with_git(settings: CopySettings, reference: str, file: BinaryIO) -> Fetched | None:
    # It stays for as long as the run: it can tell which revision comes after which.
    repository = history_of(Path(file.name))
    credentials = Credentials.read(settings.nix_config, os.environ)
    try:
        found = fetch_git_flake(reference, repository, credentials, settings.copy_timeout)
        if found is not None:
            unlocked = unlocked_of(found)
            # Not closed: the file is whoever's who opened it.
            snapshot = found.snapshot(file)
    except BaseException as error:
        shutil.rmtree(repository, ignore_errors=True)
        if isinstance(error, GitError):
            raise _CannotError(f"its git failed: {error}") from error
        raise
    if found is None:
        shutil.rmtree(repository, ignore_errors=True)
        return None
    named = {} if "rev=" in reference else {"rev": found.revision or ""}
    flake = LockedFlake(
        reference,
        add_parameters(reference, named),
        snapshot.nar_hash,
        found.directory,
        found.revision,
        found.last_modified,
        found.revision_count,
    )
    return Fetched(flake, snapshot, unlocked)


def _on_host(host: Host, settings: CopySettings, reference: str, file: BinaryIO) -> Fetched:
    host.tell("resolves the flake for all hosts")

    def run(arguments: Sequence[str]) -> tuple[int, str, str]:
        doing, limit = "resolving the flake", settings.copy_timeout
        answer = run_nix(host, host.contact, settings, for_unit(*arguments), doing, limit)
        refuse_shut_out(host, answer, message_in(answer.get("error")))
        return int(answer.get("status") or 1), answer.get("value"), answer.get("error")

    flake, path = _metadata(run, settings, reference)
    _read_source(host, settings, path, file)
    return _checked(flake, file)


def _metadata(nix: Nix, settings: CopySettings, reference: str) -> tuple[LockedFlake, str]:
    """Resolve with Nix, past its caches. A lock file that is not whole is an error for every host."""
    wishes = _wishes_of(settings)
    command = ("flake", "metadata", *FEATURES, "--refresh", "--json")
    status, text, said = nix([*command, *(wishes or ("--no-update-lock-file",)), reference])
    if status != 0 and not wishes and NixError.INCOMPLETE_LOCK_FILE in recognised(message_in(said)):
        _status, _text, would = nix([*command, "--no-write-lock-file", reference])
        names = ", ".join(f"'{name}'" for name in dict.fromkeys(_INPUT.findall(would)))
        about = f" It is about {names}." if names else ""
        raise HostError(
            f"the flake {reference!r} is not locked. {LOCK_IT}{about} Nothing was built. (With '--no-write-lock-file'"
            " in build_args each host resolves by itself what the lock file lacks.)",
            Refusal.NOT_LOCKED,
        )
    if status != 0:
        raise _CannotError(_last(said) or f"Nix ended with {status}")
    try:
        return read_metadata(reference, text)
    except FlakeError as error:
        raise _CannotError(str(error)) from error


def _wishes_of(settings: CopySettings) -> list[str]:
    """What build_args say about inputs and the lock file, which `nix flake metadata` has to know as well."""
    build_args = settings.build_args if isinstance(settings, BuildSettings) else ()
    found: list[str] = []
    for place, argument in enumerate(build_args):
        if argument in OVERRIDING:
            found += build_args[place : place + 1 + OVERRIDING[argument]]
        elif argument in WITHOUT_LOCK_FILE:
            found += build_args[place : place + (2 if argument == "--reference-lock-file" else 1)]
    return [*found, "--no-write-lock-file"] if found else []


def _read_source(host: Host, settings: CopySettings, path: str, file: BinaryIO) -> None:
    """Read a source out of a host's store, in parts of bounded size."""

    def read(offset: int) -> Answer:
        limit = settings.copy_timeout
        return host.run("read_source", limit=limit, path=path, offset=str(offset), size=str(_PART))

    offset = 0
    unpack = zlib.decompressobj(wbits=31)
    while True:
        answer = host.persist(settings.reconnect_timeout, partial(read, offset), "reading the flake")
        part = base64.b64decode(answer.get("part"))
        try:
            file.write(unpack.decompress(part) if answer.get("packed") == "gzip" else part)
        except zlib.error as error:
            raise _CannotError(f"what it has of the flake could not be read: {error}") from error
        offset += len(part)
        if len(part) < _PART:
            return


def _checked(flake: LockedFlake, file: BinaryIO) -> Fetched:
    """Make sure that what was read is what was locked."""
    file.seek(0)
    found = hashlib.sha256()
    size = 0
    while data := file.read(1 << 20):
        found.update(data)
        size += len(data)
    digest = found.digest()
    if digest != parse_sha256(flake.nar_hash):
        raise _CannotError(f"its source is not what was locked: {flake.nar_hash} was, and {sri(digest)} was read")
    file.seek(0)
    return Fetched(flake, Snapshot(file, sri(digest), size, source_store_path(digest)), ())


def _last(said: str) -> str:
    """The end of what Nix said, without its colours: its error, and what ssh and git said before it."""
    error = message_in(said)
    before = said.partition("error:")[0].splitlines()
    told = [line.strip() for line in before if line.strip() and not line.startswith("unpacking ")]
    return "\n".join([*told[-4:], error] if error else told[-6:])
