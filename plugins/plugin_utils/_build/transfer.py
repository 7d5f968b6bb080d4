# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host needs of the controller to build a flake: a snapshot of it, and of inputs that it cannot fetch itself."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ansible.errors import AnsibleConnectionFailure

from .._codes import CopyInputs, Refusal
from .._flake.credentials import Credentials
from .._flake.local import FLAKE, LocalFlake, LocalInput
from .._flake.locked import LockedFlake
from .._flake.reference import FlakeError
from .._flake.remote_input import RemoteInput
from .._flake.shared import SharedFlake, SharedInput, shared_flake, shared_history, shared_input, shared_local_input
from .._flake.snapshot import Snapshot
from .._flake.unlocked import given_otherwise
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .._host.sending import FileData
from .._printable import size_in_words
from .known_secrets import known_secrets
from .lock import lock
from .settings import CopySettings
from .shortage import in_time
from .waiting import telling


@dataclass(frozen=True)
class Nar:
    """A NAR as it is sent."""

    data: FileData
    size: int
    """Of what is in it, where it is packed."""
    packed: str
    """yes or no: whether by gzip."""


ALLOWS_SECRETS = "secrets_in_flake"
_NAMED = 5
"""So many files are named in a message."""
_STATUS = 120
"""Seconds to find out what a reference means, where nothing is deployed."""


class Sources:
    """The sources of one flake for one host. A remote flake is resolved for all hosts, where none has done so."""

    def __init__(self, host: Host, settings: CopySettings, shared_file: Path) -> None:
        self._host = host
        self._settings = settings
        fetch = partial(lock, host, settings)
        entry = settings.file or FLAKE
        shared = shared_flake(settings.flake, Path.cwd(), shared_file, fetch, known_secrets(), entry)
        self.flake = shared.flake
        self._history = shared.history
        self._snapshot = shared.snapshot
        self._unlocked = shared.unlocked
        self._shared_directory = shared_file.parent
        self._credentials = Credentials.read(settings.nix_config, os.environ)
        self._remote = {one.store_path: one for one in shared.inputs.remote}
        self._sources: dict[str, Snapshot | LocalInput | RemoteInput] = {
            **{path: one for path, one in self._remote.items() if self._is_offered(one)},
            **{one.store_path: one for one in shared.inputs.found},
        }
        self.bytes_sent = 0
        self._too_large: int | None = None
        """So many bytes of an input did not get there in time."""
        self._sources[shared.snapshot.store_path] = shared.snapshot
        self._warn(shared)
        where = f"in {shared.flake.root}" if isinstance(shared.flake, LocalFlake) else shared.flake.url
        whole = isinstance(shared.flake, LocalFlake) and shared.flake.is_whole_directory
        self._look_for_secrets(shared.snapshot, f"the flake {where}", whole, shared.is_first)

    def history(self, other: str, fetch: bool) -> Path | None:
        """A repository with the commits that led to the flake, and to another commit where it is in a branch.

        None where there is none and none is to be fetched, FlakeError where it cannot be fetched.
        """
        if isinstance(self.flake, LocalFlake) or self._history is None:
            return self.flake.root if isinstance(self.flake, LocalFlake) else None
        shared_history(self.flake, self._history, other, fetch, self._credentials, self._settings.copy_timeout)
        return self._history if self._history.exists() else None

    @property
    def reference(self) -> str:
        """The locked flake reference to build from on the host."""
        return self.flake.locked_reference(self._snapshot)

    @property
    def file(self) -> str:
        """Where on the host the file is that is built in place of a flake; "" for none."""
        name = self._settings.file
        return posixpath.join(self._snapshot.store_path, self.flake.directory, name) if name else ""

    def not_locked(self, build_args: Sequence[str] = ()) -> str:
        """What its lock file lacks, in a sentence; "" where that is nothing, or arguments for Nix give it."""
        lacks = "; ".join(f"the input '{one.name}' {one.why}" for one in given_otherwise(self._unlocked, build_args))
        if not lacks:
            return ""
        if isinstance(self.flake, LockedFlake):
            return f"{self.flake.url} is not locked: {lacks}. Run 'nix flake lock' in a clone of it and push flake.lock"
        lock = self.flake.root / self.flake.directory / "flake.lock"
        if any(self.flake.root / file == lock for file in self.flake.untracked_nix_files):
            return f"git does not track {lock}, so the flake does not contain it, and {lacks}. Run 'git add' for it"
        return (
            f"{lock.parent} is not locked: {lacks}. Run 'nix flake lock' there, and 'git add flake.lock' if it is new"
        )

    def refuse_unlocked(self, build_args: Sequence[str]) -> None:
        """HostError where every host would have to resolve inputs by itself, each perhaps to something else."""
        if lacks := self.not_locked(build_args):
            raise HostError(
                f"{lacks}; then deploy again. {self._host.name} was not asked to do anything. (With"
                " '--no-write-lock-file' in build_args each host resolves by itself what the lock file lacks.)",
                Refusal.NOT_LOCKED,
            )

    @property
    def paths(self) -> str:
        """Their store paths, one a line."""
        return "\n".join(self._sources)

    def bring(self) -> None:
        """Ask the host which of them it lacks, and send those."""
        if self._sources:
            self.send(self.available(self._missing(self.paths)))

    def _missing(self, paths: str) -> list[str]:
        """Those that the host lacks. It keeps what it has, and what it is about to get."""
        ask, patience = partial(self._host.run, "copy_ask", paths=paths, limit=60), self._settings.reconnect_timeout
        return self._host.contact(patience, ask, "asking what it lacks of the flake").all("missing")

    def available(self, missing: Iterable[str]) -> list[str]:
        """Those of what the host lacks that there are here, fetched if need be; HostError where one has to be."""
        with self._or_forget():
            return [path for path in missing if self._is_here(path)]

    def offer_more(self) -> bool:
        """Offer inputs too that the host was to fetch, those first that may be private.

        False where it lacks none of them, or none is to be sent.
        """
        if self._settings.copy_inputs is not CopyInputs.MISSING:
            return False
        more = {path: one for path, one in self._remote.items() if path not in self._sources}
        first = {path: one for path, one in more.items() if one.may_be_private(self._credentials)}
        return any(self._offer(some) for some in (first, more) if some)

    def _offer(self, more: Mapping[str, RemoteInput]) -> bool:
        self._sources = {**more, **self._sources}
        missing = self._missing("\n".join(more))
        # Each is looked at.
        here = [self._is_here(path) for path in missing]
        if any(here):
            return True
        self._forget(more)
        return False

    def send(self, missing: Iterable[str]) -> None:
        """Send those that the host lacks; what is sent in part only never gets a valid path."""
        for path in missing:
            if self.is_too_large(path):
                continue
            with self.opened(path) as nar:
                receive = partial(
                    self._host.run,
                    "copy_receive",
                    data=nar.data,
                    limit=self._settings.copy_timeout,
                    path=path,
                    nar_size=str(nar.size),
                    packed=nar.packed,
                )
                sent = partial(in_time, self._host, len(nar.data), self._settings.copy_timeout, receive)
                self.sent(
                    path, nar, partial(self._host.persist, self._settings.reconnect_timeout, sent, "copying the flake")
                )

    def is_too_large(self, path: str) -> bool:
        """Whether it is an input no smaller than one that did not get there in time: it is left to the host as well."""
        source = self._sources[path]
        if self._too_large is None or not isinstance(source, RemoteInput):
            return False
        if self._fetch(source).file.stat().st_size < self._too_large:
            return False
        self._host.tell(f"has to fetch the input '{source.name}' too, no smaller than what the link was too slow for")
        return True

    def sent(self, path: str, nar: Nar, send: Callable[[], Answer]) -> Answer | None:
        """The answer to what is sent; None where the link is too slow for an input, which is left to the host."""
        source = self._sources[path]
        try:
            with telling(self._host, f"gets {path}, {size_in_words(len(nar.data))}"):
                answer = send()
        except HostError as error:
            if error.reason != Refusal.TOO_SLOW or not isinstance(source, RemoteInput):
                raise
            what = f"the input '{source.name}' of the flake: {error}"
            if self._settings.copy_inputs is not CopyInputs.MISSING:
                raise HostError(
                    f"{what}. If the host can fetch its inputs by itself: 'missing' or 'none' for copy_inputs"
                    " (deploy_flake_copy_inputs)",
                    Refusal.TOO_SLOW,
                ) from error
            self._too_large = len(nar.data)
            self._host.warn(
                f"{what}. So the host has to fetch it. ('none' for copy_inputs, deploy_flake_copy_inputs, sends none)"
            )
            return None
        self.bytes_sent += len(nar.data)
        return answer

    @contextmanager
    def opened(self, path: str) -> Iterator[Nar]:
        """The NAR of one of them, which is about to be sent, as often as need be while it is open."""
        source = self._sources[path]
        if isinstance(source, RemoteInput):
            found = self._fetch(source)
            with found.file.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                self._host.tell(f"gets {path}, the input '{source.name}', {size_in_words(size)}")
                yield Nar(FileData(file, size), found.nar_size, "yes")
            return
        with self._or_forget():
            snapshot = source if isinstance(source, Snapshot) else self._read_input(source)
        # The flake's own lasts as long as this object.
        with nullcontext() if snapshot is source else snapshot:
            self._host.tell(f"gets {path}, {size_in_words(snapshot.nar_size)}")
            yield Nar(FileData(snapshot.nar, snapshot.nar_size), snapshot.nar_size, "no")

    @contextmanager
    def _or_forget(self) -> Iterator[None]:
        """Where it fails, the host keeps nothing for a build that will not be."""
        try:
            yield
        except (FlakeError, HostError):
            self._forget(self._sources)
            raise

    def _forget(self, paths: Iterable[str]) -> None:
        # A host that does not answer now is none to speak of: what is said is why nothing is built.
        with suppress(HostError, AnsibleConnectionFailure):
            self._host.run("copy_drop", paths="\n".join(paths), limit=60)

    def _is_offered(self, one: RemoteInput) -> bool:
        """Whether the host gets it before it has tried to fetch it."""
        match self._settings.copy_inputs:
            case CopyInputs.ALL:
                return True
            case CopyInputs.NONE:
                return False
        return one.is_private(self._credentials)

    def _is_here(self, path: str) -> bool:
        source = self._sources[path]
        if not isinstance(source, RemoteInput):
            return True
        try:
            self._fetch(source)
            return not self.is_too_large(path)
        except FlakeError as error:
            if self._settings.copy_inputs is CopyInputs.ALL:
                raise HostError(
                    f"{error}. {self._host.name} lacks it, and nothing was built there. With 'missing' for copy_inputs"
                    " (deploy_flake_copy_inputs) it tries to fetch by itself what the controller cannot fetch",
                    Refusal.INPUT_NOT_FETCHED,
                ) from error
            self._host.warn(f"the controller cannot fetch it, so the host has to: {error}")
            return False

    def _fetch(self, one: RemoteInput) -> SharedInput:
        with telling(self._host, f"waits for the input '{one.name}', which the controller fetches"):
            return shared_input(one, self._shared_directory, self._credentials, self._settings.copy_timeout)

    def _read_input(self, source: LocalInput) -> Snapshot:
        with telling(self._host, f"waits for the input '{source.name}', which the controller reads"):
            snapshot = shared_local_input(source, self._shared_directory, known_secrets())
        what = f"the input '{source.name}' in {source.root}"
        try:
            self._look_for_secrets(snapshot, what, source.revision is None, True)
        except HostError:
            snapshot.nar.close()
            raise
        return snapshot

    def _look_for_secrets(self, snapshot: Snapshot, what: str, is_whole_directory: bool, tell: bool) -> None:
        """What is sent, every user of the host can read. Nobody has chosen the files of a directory without git."""
        if not snapshot.secrets or ALLOWS_SECRETS in self._settings.allow:
            return
        named = ", ".join(map(str, snapshot.secrets[:_NAMED]))
        more = len(snapshot.secrets) - _NAMED
        found = f"{named}{f' and {more} more' if more > 0 else ''}"
        if is_whole_directory:
            raise HostError(
                f"{what} holds what looks like secrets, and without git all of its files would go to the host's store,"
                f" where every user of the host can read them: {found}. It was not copied. Move them out of it; or make"
                " it a git repository that does not track them; or, if everybody may read them, allow"
                f" '{ALLOWS_SECRETS}' (deploy_flake_allow)",
                Refusal.SECRETS_IN_FLAKE,
            )
        if tell:
            self._host.warn(
                f"{what} holds what looks like secrets, and every user of the host can read them in its store: {found}."
                f" Have git not track them, or keep them encrypted; '{ALLOWS_SECRETS}' in deploy_flake_allow silences"
                " this"
            )

    def facts(self) -> dict[str, Any]:
        """The return values about the flake."""
        result = {"reference": self.reference, "flake": self._settings.flake, "bytes_sent": self.bytes_sent}
        flake, snapshot = self.flake, self._snapshot
        return result | {
            "locked": flake.url if isinstance(flake, LockedFlake) else "",
            "store_path": snapshot.store_path,
            "nar_hash": snapshot.nar_hash,
            "nar_size": snapshot.nar_size,
            "revision": flake.revision,
            "dirty": isinstance(flake, LocalFlake) and flake.dirty,
            "dirty_revision": flake.dirty_revision if isinstance(flake, LocalFlake) else None,
            "last_modified": flake.last_modified,
        }

    def _warn(self, shared: SharedFlake) -> None:
        for name, why in shared.inputs.left_out.items():
            self._host.warn(f"the input '{name}' is local to the controller and cannot be sent along: {why}")
        if isinstance(shared.flake, LocalFlake) and shared.flake.untracked_nix_files:
            files = ", ".join(shared.flake.untracked_nix_files[:5])
            self._host.warn(f"git does not track these files, so the flake does not contain them: {files}")
        if shared.is_first and isinstance(shared.flake, LocalFlake) and shared.flake.left_out:
            self._host.warn(
                f"the flake in {shared.flake.root} is copied without the submodules"
                f" {', '.join(shared.flake.left_out[:5])}. Nix leaves them out unless the flake asks for them"
                " ('inputs.self.submodules = true' with Nix 2.27 or newer on the hosts, or '?submodules=1' in the"
                " reference), and what .gitmodules does not name always"
            )
        if shared.is_first and isinstance(shared.flake, LocalFlake) and shared.flake.dirty:
            self._host.warn(
                f"the flake in {shared.flake.root} has changes that are not committed to git, so the system has no"
                f" revision; the record on the host has {shared.flake.dirty_revision or 'that it is dirty'}"
            )

    def __enter__(self) -> Self:
        """Use in a `with` statement, which lets go of the snapshot at its end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the snapshot."""
        self._snapshot.nar.close()


def locked(host: Host, reference: str, reconnect_timeout: int, shared_file: Path) -> LocalFlake | LockedFlake:
    """What a remote reference means in this run; nothing is sent to the host."""
    settings = CopySettings(
        flake=reference,
        copy_timeout=_STATUS,
        reconnect_timeout=reconnect_timeout,
        allow=(),
        copy_inputs=CopyInputs.NONE,
        nix_config="",
    )
    with Sources(host, settings, shared_file) as sources:
        return sources.flake
