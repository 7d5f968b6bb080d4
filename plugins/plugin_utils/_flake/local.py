# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A flake on the controller: where it is, what Nix would see of it, and how a host is to name its copy.

Sources: "Path-like syntax" and the types `path` and `git` under "Flake references" in the Nix manual (nix3-flake),
`parsePathFlakeRefWithFragment` and the git fetcher in Nix, and "Lock files" in the same manual.

In a git work tree Nix sees the tracked files with the content that they have on disk, from the root of the work tree
down; of a commit, what git stored; otherwise the whole directory.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlsplit

from .._printable import without_logins
from . import git, lfs, nar
from .flake_nix import declared_inputs
from .reference import FlakeError, add_parameters, decode_path, split_query
from .remote_input import RemoteInput
from .snapshot import Snapshot, take_snapshot
from .store_path import parse_sha256, source_store_path, sri

FLAKE = "flake.nix"
"""What Nix evaluates of a flake."""
_OF_ITS_SOURCE = ("submodules", "lfs")
"""What a flake may ask of its own source, in a reference or in flake.nix."""
_ASKS_SOMETHING = re.compile(r"\bself\b[^;]*\b(submodules|lfs)\b")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(.*)", re.DOTALL)
# An entry of the flake registry, perhaps with a branch and a revision: Nix asks for this before anything else.
_REGISTRY = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*(/[a-zA-Z0-9@][a-zA-Z0-9_./@+-]*)?")


@dataclass(frozen=True)
class RemoteFlake:
    """A reference that the host fetches by itself."""

    reference: str


@dataclass(frozen=True)
class LocalFlake:
    """A flake found on the controller."""

    root: Path
    """The directory that is copied: of a git work tree always its root."""
    directory: str = ""
    """Where flake.nix is below the root, "" for the root itself: Nix's parameter `dir`."""
    revision: str | None = None
    """The commit, if what is copied is that commit's content."""
    dirty: bool = False
    """Whether tracked files differ from the commit."""
    last_modified: int = 0
    """Seconds since 1970: of the commit, or of the youngest file where there is no git."""
    revision_count: int | None = None
    """How many commits led to the revision."""
    untracked_nix_files: tuple[str, ...] = ()
    """Files that Nix does not see since git does not know them: the `.nix` files among them, and flake.lock."""
    base: str | None = None
    """The commit that is checked out, where the files differ from it."""
    left_out: tuple[str, ...] = ()
    """Submodules of git that are not in it."""
    entry: str = FLAKE
    """The file that is evaluated, below the directory. Of another one than flake.nix Nix has no lock file."""
    tree: nar.Node = field(default_factory=lambda: nar.Directory({}), repr=False, compare=False)
    """The files themselves."""

    @property
    def dirty_revision(self) -> str | None:
        """What Nix calls `dirtyRev`."""
        return f"{self.base}-dirty" if self.base else None

    @property
    def is_whole_directory(self) -> bool:
        """Whether nobody has chosen what is in it; otherwise it is what git tracks."""
        return self.revision is None and not self.dirty

    def snapshot(self, file: BinaryIO | None = None, known_secrets: Collection[Path] = ()) -> Snapshot:
        """Read all files into a NAR: the file, else a temporary one, in memory while it is small."""
        return take_snapshot(self.tree, self.root, file, known_secrets)

    def locked_reference(self, snapshot: Snapshot) -> str:
        """Name the snapshot in the host's store so that Nix takes it for locked, revision and time included."""
        parameters = {"narHash": snapshot.nar_hash, "lastModified": str(self.last_modified)}
        # A `path:` flake can have only an SHA-1 revision.
        if self.revision is not None and len(self.revision) == 40:
            parameters["rev"] = self.revision
            if self.revision_count is not None:
                parameters["revCount"] = str(self.revision_count)
        if self.directory:
            parameters["dir"] = self.directory
        return add_parameters(f"path:{snapshot.store_path}", parameters)


@dataclass(frozen=True)
class LocalInput:
    """An input of a flake's lock file that only the controller has. The host needs it at this store path."""

    name: str
    reference: str
    nar_hash: str
    store_path: str
    root: Path
    revision: str | None

    def snapshot(self, known_secrets: Collection[Path] = (), file: BinaryIO | None = None) -> Snapshot:
        """Read the input, into the file or a temporary one, and make sure that it is what the lock file says."""
        what = f"input '{self.name}' ({self.reference})"
        try:
            tree = nar.directory_tree(self.root) if self.revision is None else git.commit_tree(self.root, self.revision)
            snapshot = take_snapshot(tree, self.root, file, known_secrets)
        except (FlakeError, nar.NarError, git.GitError) as error:
            raise FlakeError(f"{what}: {error}") from error
        if snapshot.nar_hash != self.nar_hash:
            snapshot.nar.close()
            raise FlakeError(
                f"{what} is not what the lock file says: locked is {self.nar_hash}, on the controller it is"
                f" {snapshot.nar_hash}. Lock it again with 'nix flake update {self.name}'"
            )
        return snapshot


@dataclass(frozen=True)
class LocalInputs:
    """The inputs of a lock file."""

    found: tuple[LocalInput, ...] = ()
    remote: tuple[RemoteInput, ...] = ()
    """Those that lie elsewhere."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Names of inputs that the controller cannot send along, and why."""


def find_flake(reference: str, cwd: Path, entry: str = FLAKE) -> LocalFlake | RemoteFlake:
    """Find what a flake reference means: a flake on this machine, relative to a directory, or a remote one.

    With another file as its entry it is a tree of Nix files that need not be a flake, in the directory that is named.
    """
    if not reference.strip() or "\0" in reference:
        raise FlakeError("the flake reference is empty; give a directory such as '.' or a reference such as 'github:…'")
    if "#" in reference:
        raise FlakeError(
            f"the flake reference {reference!r} must not have a part after '#': the configuration is given by itself."
            " A '#' in the name of a directory is written 'path:…%23…'"
        )
    if _REGISTRY.fullmatch(reference):
        if (cwd / reference).is_dir():
            raise FlakeError(
                f"{reference!r} is to Nix the name of a registry entry, but there is also a directory of that name."
                f" Write './{reference}' for the directory or 'flake:{reference}' for the registry entry"
            )
        return RemoteFlake(reference)
    url = _SCHEME.fullmatch(reference)
    if url is None:
        path, query = split_query(reference)
        return _find_upwards(_absolute(path, cwd), query, reference, entry)
    scheme, rest = url.groups()
    path, query = split_query(rest)
    if scheme == "path":
        return _path_flake(_absolute(decode_path(path, reference), cwd), query, reference, entry)
    if scheme == "git+file":
        return _git_flake(_absolute(decode_path(path, reference), cwd), query, reference, entry)
    if scheme == "file" or scheme.endswith("+file"):
        raise FlakeError(
            f"the flake {reference!r} is on this machine, but only directories and git repositories can be copied to"
            " hosts: give 'path:…' or 'git+file:…'"
        )
    return RemoteFlake(reference)


def is_remote(reference: str, cwd: Path) -> bool:
    """Whether a reference is of no flake on this machine; without a look at the flake itself."""
    if _REGISTRY.fullmatch(reference):
        return not (cwd / reference).is_dir()
    url = _SCHEME.fullmatch(reference)
    return url is not None and url[1] not in ("path", "file") and not url[1].endswith("+file")


def absolute_reference(reference: str, directory: Path) -> str:
    """A reference that means the same whatever the current directory is: a relative path is one from this directory."""
    if is_remote(reference, directory):
        return reference
    if (url := _SCHEME.fullmatch(reference)) is None:
        path, mark, query = reference.partition("?")
        return f"{_absolute(path, directory)}{mark}{query}"
    scheme, rest = url.groups()
    # What stands in a URL is percent-encoded.
    return reference if rest.startswith("/") else f"{scheme}:{quote(os.fspath(directory))}/{rest}"


def local_inputs(flake: LocalFlake) -> LocalInputs:
    """Find the inputs of a flake's lock file, inputs of inputs included, and which of them lie on this machine."""
    if flake.entry != FLAKE:
        return LocalInputs()
    name = _below(flake.directory, "flake.lock")
    lock = nar.find(flake.tree, os.fsencode(name))
    if not isinstance(lock, nar.RegularFile):
        return LocalInputs()
    found, remote, left_out = [], [], {}
    for key, value in _locked_nodes(lambda: nar.read(lock), f"{flake.root / name}").items():
        kind = str(value["type"])
        try:
            local = _local_input(key, kind, value)
        except (FlakeError, ValueError) as error:
            left_out[key] = str(error)
        else:
            found += [] if local is None else [local]
            # One of the type `path` lies in the snapshot of the flake that names it.
            if local is None and kind != "path":
                remote += _remote_input(key, value)
    return LocalInputs(tuple(found), tuple(remote), left_out)


def remote_inputs(lock: bytes, where: str) -> tuple[RemoteInput, ...]:
    """The inputs in a lock file of a flake that lies elsewhere; what it calls local is so on another machine."""
    nodes = _locked_nodes(lambda: lock, where)
    elsewhere = {
        name: locked
        for name, locked in nodes.items()
        if locked["type"] != "path" and not str(locked.get("url", "")).startswith("file:")
    }
    return tuple(one for name, locked in elsewhere.items() for one in _remote_input(name, locked))


def _locked_nodes(read: Callable[[], bytes], where: str) -> dict[str, dict[str, object]]:
    """What a lock file says of each input by its name; FlakeError where it says nothing that is known here."""
    try:
        nodes = json.loads(read())["nodes"]
        locked = {str(key): dict(node["locked"]) for key, node in nodes.items() if "locked" in node}
        for one in locked.values():
            one["type"] = str(one["type"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FlakeError(f"{where} is not a lock file that Nix wrote; make it again with 'nix flake lock'") from error
    for name, one in locked.items():
        for url in (str(one.get("url") or ""), f"https://{one.get('host') or ''}/"):
            try:
                urlsplit(url)
            except ValueError as error:
                # Nothing could be said of where it is, nor whether it is private.
                raise FlakeError(f"{where}: input {name!r} has a URL that is none: {without_logins(url)!r}") from error
    return locked


def _remote_input(name: str, locked: Mapping[str, object]) -> list[RemoteInput]:
    """What a node of the lock file says; nothing where its hash is not known, so that only Nix can fetch it."""
    try:
        digest = parse_sha256(str(locked.get("narHash")))
    except ValueError:
        return []
    return [RemoteInput(name, locked, sri(digest), source_store_path(digest))]


def _local_input(name: str, kind: str, locked: Mapping[str, object]) -> LocalInput | None:
    """What a node of the lock file says, if it lies on this machine."""
    url = str(locked.get("url", ""))
    revision = None
    if kind == "path":
        path = str(locked.get("path", ""))
        reference = f"path:{path}"
        if not path.startswith("/"):
            # It lies in the snapshot of the flake that names it.
            return None
    elif kind == "git" and url.startswith("file:"):
        path = decode_path(split_query(url.removeprefix("file:"))[0], url)
        revision = str(locked.get("rev", ""))
        reference = f"git+{url}?rev={revision}"
        if not revision:
            raise FlakeError("it is locked to a dirty git tree; commit the changes and lock it again")
        if locked.get("submodules"):
            raise FlakeError("it has git submodules")
        if locked.get("lfs"):
            raise FlakeError("it has files in Git LFS")
    else:
        return None
    if "narHash" not in locked:
        raise FlakeError("it has no narHash in the lock file")
    if not path.startswith("/") or not os.path.lexists(path):
        raise FlakeError(f"there is no {path} on this machine")
    digest = parse_sha256(str(locked["narHash"]))
    return LocalInput(name, reference, sri(digest), source_store_path(digest), Path(path), revision)


def _find_upwards(path: Path, query: dict[str, str], reference: str, entry: str) -> LocalFlake:
    """Look for flake.nix in a directory and above it, and for a git work tree around it, as Nix does for a path.

    Any other file is where it is said to be.
    """
    if path.name == entry == FLAKE and path.is_file():
        path = path.parent
    _require_directory(path, reference)
    directory = _directory(query, reference)
    flake = path
    while entry == FLAKE and not os.path.lexists(flake / directory / FLAKE):
        above = flake.parent
        at_border = above == flake or os.path.lexists(flake / ".git") or above.stat().st_dev != path.stat().st_dev
        if directory or at_border:
            raise FlakeError(
                f"there is no flake.nix in {path / directory}"
                f"{'' if directory or flake == path else f' nor in a directory above it up to {flake}'};"
                " give the directory of a flake, or make one with 'nix flake init'"
            )
        flake = above
    for root in (flake, *flake.parents):
        if os.path.lexists(root / ".git"):
            within = os.path.relpath(flake / directory, root)
            return _git_flake(root, {**query, "dir": within}, reference, entry)
    return _path_flake(flake, {**query, "dir": directory}, reference, entry)


def _path_flake(root: Path, query: dict[str, str], reference: str, entry: str) -> LocalFlake:
    _require_directory(root, reference)
    directory = _directory(query, reference)
    _refuse_parameters(query, {"dir"}, reference)
    # Before a directory is read that may be large.
    if not os.path.lexists(root / directory / entry):
        raise _no_entry(root / directory, entry, "")
    try:
        tree = nar.directory_tree(root)
        last_modified = nar.latest_change(root)
    except (nar.NarError, OSError) as error:
        raise FlakeError(f"the flake in {root} cannot be copied: {error}") from error
    flake = LocalFlake(root, directory, last_modified=last_modified, tree=tree, entry=entry)
    if entry != FLAKE:
        _require_entry(flake)
    # Its submodules are in it, as all else.
    if _asked_of_itself(flake).get("lfs") and (missing := lfs.pointers(tree)):
        raise _no_lfs_content(root, missing, "git lfs pull")
    return flake


def _git_flake(root: Path, query: dict[str, str], reference: str, entry: str) -> LocalFlake:
    _require_directory(root, reference)
    directory = _directory(query, reference)
    _refuse_parameters(query, {"dir", "ref", "rev", "submodules", "shallow", "allRefs", "lfs"}, reference)
    asked = {name: query.get(name) == "1" for name in _OF_ITS_SOURCE}
    of_commit = "rev" in query or "ref" in query or not os.path.lexists(root / ".git")
    name = (query.get("rev") or query.get("ref") or "HEAD") if of_commit else None
    flake = replace(_read_git(root, directory, name, reference, asked), entry=entry)
    _require_entry(flake, flake.revision if of_commit else None)
    # What it says itself goes before the reference; the same is read again for it (`applySelfAttrs` in Nix).
    wanted = asked | _asked_of_itself(flake)
    return flake if wanted == asked else replace(_read_git(root, directory, name, reference, wanted), entry=entry)


def _read_git(root: Path, directory: str, name: str | None, reference: str, asked: Mapping[str, bool]) -> LocalFlake:
    """Read a commit, or the work tree."""
    try:
        if name is None:
            return _work_tree_flake(root, directory, git.work_tree(root, asked["submodules"]), asked["lfs"])
        return _commit_flake(root, directory, name, reference, asked)
    except (git.GitError, nar.NarError) as error:
        raise FlakeError(f"the flake in {root} cannot be copied: {error}") from error


def _asked_of_itself(flake: LocalFlake) -> dict[str, bool]:
    """What flake.nix asks of its own source, as `inputs.self.submodules`."""
    file = nar.find_followed(flake.tree, os.fsencode(_below(flake.directory, FLAKE)))
    if flake.entry != FLAKE or not isinstance(file, nar.RegularFile):
        return {}
    text = nar.read(file).decode(errors="replace")
    inputs = declared_inputs(text)
    if inputs is None and _ASKS_SOMETHING.search(text):
        raise FlakeError(
            f"{flake.root / flake.directory / FLAKE} seems to ask for submodules or Git LFS with 'inputs.self',"
            " in a form that only Nix can read; write 'inputs.self.submodules = true;' or 'inputs.self.lfs = true;' by"
            " itself"
        )
    said = (inputs or {}).get("self", {})
    return {name: said[name] for name in _OF_ITS_SOURCE if isinstance(said.get(name), bool)}


def _commit_flake(root: Path, directory: str, name: str, reference: str, asked: Mapping[str, bool]) -> LocalFlake:
    commit = git.commit(root, name)
    found = git.read_commit(root, commit.name)
    if asked["submodules"] and found.has_submodules:
        raise FlakeError(
            f"{reference!r} asks for submodules of a commit, which cannot be copied; check the commit out and leave"
            " 'ref' and 'rev' away"
        )
    tree = found.tree
    if asked["lfs"]:
        tree, missing = lfs.with_content(tree, git.lfs_objects(root))
        if missing:
            raise _no_lfs_content(root, missing, f"git lfs fetch origin {commit.name}")
    return LocalFlake(
        root,
        directory,
        revision=commit.name,
        last_modified=commit.time,
        revision_count=commit.count,
        left_out=tuple(map(os.fsdecode, found.left_out)),
        tree=tree,
    )


def _no_lfs_content(root: Path, missing: Sequence[str], command: str) -> FlakeError:
    return FlakeError(
        f"the flake in {root} asks for Git LFS, and of these files only the pointers are there:"
        f" {', '.join(missing[:5])}; run 'git -C {shlex.quote(os.fspath(root))} {command.removeprefix('git ')}'"
    )


def _work_tree_flake(root: Path, directory: str, work: git.WorkTree, needs_lfs: bool) -> LocalFlake:
    # Nix takes what is on disk, and so do we; but what a flake asks for must not be missing without a word.
    if needs_lfs and (missing := lfs.pointers(work.tree)):
        raise _no_lfs_content(root, missing, "git lfs pull")
    lock = os.fsencode(_below(directory, "flake.lock"))
    head = None if work.dirty else work.head
    return LocalFlake(
        root,
        directory,
        revision=None if head is None else head.name,
        dirty=work.dirty,
        left_out=tuple(map(os.fsdecode, work.left_out)),
        base=None if head or work.head is None else work.head.name,
        last_modified=0 if work.head is None else work.head.time,
        revision_count=None if head is None else head.count,
        untracked_nix_files=tuple(
            os.fsdecode(path) for path in work.untracked if path.endswith(b".nix") or path == lock
        ),
        tree=work.tree,
    )


def _require_directory(path: Path, reference: str) -> None:
    if path.is_dir():
        return
    if os.path.lexists(path):
        raise FlakeError(
            f"the flake {reference!r} is not a directory but a file: {path}. Give the directory of a flake"
        )
    raise FlakeError(f"the flake {reference!r} does not exist: there is no directory {path} on this machine")


def _require_entry(flake: LocalFlake, commit: str | None = None) -> None:
    """FlakeError where the file that is to be evaluated is none, or is not in what is copied."""
    name = _below(flake.directory, flake.entry)
    found = nar.find(flake.tree, os.fsencode(name))
    if found is None and flake.entry != FLAKE:
        # Below a link, which Nix follows.
        found = nar.find_followed(flake.tree, os.fsencode(name))
    if isinstance(found, nar.RegularFile | nar.Symlink):
        return
    if isinstance(found, nar.Directory) and flake.entry != FLAKE:
        raise FlakeError(f"{flake.root / name} is a directory; name the file in it that is meant, as default.nix")
    if commit is None and os.path.lexists(flake.root / name):
        raise FlakeError(
            f"{flake.root / name} exists, but git does not track it, so Nix does not see it; run:"
            f" git -C {shlex.quote(os.fspath(flake.root))} add {shlex.quote(name)}"
        )
    raise _no_entry(flake.root / flake.directory, flake.entry, "" if commit is None else f" in the commit {commit}")


def _no_entry(directory: Path, entry: str, commit: str) -> FlakeError:
    if entry != FLAKE:
        return FlakeError(
            f"there is no {entry} in {directory}{commit}; 'file' (deploy_flake_file) is a path in the directory that"
            " 'flake' (deploy_flake_flake) names"
        )
    return FlakeError(
        f"there is no flake.nix in {directory}{commit}; give the directory of a flake, or with '?dir=…' where in it the"
        " flake is"
    )


def _refuse_parameters(query: Mapping[str, str], known: AbstractSet[str], reference: str) -> None:
    for name in query:
        if name not in known:
            raise FlakeError(
                f"the flake reference {reference!r} has the parameter {name!r}; for a flake on this machine there are"
                f" only {', '.join(sorted(known))}"
            )


def _directory(query: dict[str, str], reference: str) -> str:
    """Take the parameter `dir`, as a path without needless parts."""
    directory = os.path.normpath(query.get("dir", "").strip("/") or ".")
    if directory == ".." or directory.startswith("../"):
        raise FlakeError(f"the 'dir' in the flake reference {reference!r} leads out of the flake")
    return "" if directory == "." else directory


def _below(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _absolute(path: str, cwd: Path) -> Path:
    try:
        return Path(os.path.realpath(cwd / Path(path).expanduser()))
    except RuntimeError as error:
        raise FlakeError(f"there is no home directory for {path!r}") from error
