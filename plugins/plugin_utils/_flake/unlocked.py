# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which inputs of a flake its lock file lacks, or locks as something else than flake.nix says now.

Nix would resolve them on each host, each time again. What cannot be told without Nix is left to it: on the host it
may not complete a lock file either. Sources: `lockFlake` in Nix, and "Flake references" and "Lock files" in its manual.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from .flake_nix import OTHER, declared_inputs
from .reference import split_query

_FORGES = ("github", "gitlab", "sourcehut")
_COMMIT = re.compile(r"[0-9a-fA-F]{40}")
_INDIRECT = re.compile(r"(?:flake:)?([a-zA-Z][a-zA-Z0-9_-]*)((?:/[a-zA-Z0-9@][a-zA-Z0-9_.@+-]*){0,2})")
_GIT = ("git+https:", "git+http:", "git+ssh:", "git+file:", "git:")
_COMPARED = ("type", "id", "owner", "repo", "host", "ref", "rev", "url", "path")

OVERRIDING = {"--override-input": 2, "--update-input": 1}
"""Arguments of Nix that give an input by its name, with how many arguments follow."""
WITHOUT_LOCK_FILE = ("--recreate-lock-file", "--no-write-lock-file", "--reference-lock-file")
"""Arguments of Nix that say to go by another lock file than the flake's."""


@dataclass(frozen=True)
class Unlocked:
    """An input that flake.nix and flake.lock do not agree about."""

    name: str
    why: str
    """For people."""


def unlocked_inputs(flake_nix: bytes, flake_lock: bytes | None) -> tuple[Unlocked, ...]:
    """Compare the two files; flake.lock may not be there."""
    declared = declared_inputs(flake_nix.decode(errors="surrogateescape"))
    if declared is None:
        return ()
    declared = {name: said for name, said in declared.items() if name != "self"}
    if flake_lock is None:
        return tuple(Unlocked(name, "is not locked") for name in declared)
    try:
        nodes, locked = _nodes(flake_lock)
    except (ValueError, KeyError, TypeError, AttributeError):
        # Whoever looks for inputs to send says that it is broken.
        return ()
    found = []
    for name, said in declared.items():
        if name not in locked:
            found.append(Unlocked(name, "is not locked"))
        elif why := _differs(name, said, locked[name], nodes):
            found.append(Unlocked(name, why))
    found += [Unlocked(name, "is locked, and flake.nix does not have it") for name in locked if name not in declared]
    return tuple(found)


def given_otherwise(unlocked: Iterable[Unlocked], build_args: Sequence[str]) -> tuple[Unlocked, ...]:
    """Those that are left where arguments for Nix give inputs, or take the place of the lock file."""
    if any(argument in build_args for argument in WITHOUT_LOCK_FILE):
        return ()
    given = {
        build_args[place + 1].partition("/")[0]
        for place, argument in enumerate(build_args[:-1])
        if argument in OVERRIDING
    }
    return tuple(one for one in unlocked if one.name not in given)


def _nodes(flake_lock: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The nodes of a lock file, and the inputs of the flake itself."""
    lock = json.loads(flake_lock)
    nodes = {str(name): dict(node) for name, node in lock["nodes"].items()}
    return nodes, dict(nodes[lock["root"]].get("inputs", {}))


def _differs(name: str, said: Mapping[str, Any], locked: Any, nodes: Mapping[str, Any]) -> str:
    """In which way an input is locked as something else than flake.nix says; "" where nothing tells so."""
    if OTHER in said.values():
        return ""
    follows = said.get("follows")
    if isinstance(follows, str):
        names = [name for name in follows.split("/") if name]
        return "" if locked == names else f"is to follow '{follows}', and is not locked so"
    if isinstance(locked, list):
        return f"is locked to follow '{'/'.join(locked)}', and flake.nix does not say so"
    node = nodes.get(str(locked), {})
    original, wanted = node.get("original"), _wanted(name, said)
    if not isinstance(original, Mapping) or wanted is None:
        return ""
    if any(_text(wanted.get(part)) != _text(original.get(part)) for part in _COMPARED if _known(part, wanted)):
        return f"is locked as {_shown(original)}, and flake.nix says {_shown(wanted)}"
    return _follows_within(said, node)


def _follows_within(said: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """Inputs of the input that are to follow others."""
    theirs, locked = said.get("inputs"), node.get("inputs")
    if not isinstance(theirs, Mapping) or not isinstance(locked, Mapping):
        return ""
    for name, value in theirs.items():
        follows = value.get("follows") if isinstance(value, Mapping) else None
        # One that it does not have is no matter of the lock file.
        if (
            isinstance(follows, str)
            and name in locked
            and locked[name] != [each for each in follows.split("/") if each]
        ):
            return f"has an input '{name}' that is to follow '{follows}', and is not locked so"
    return ""


def _wanted(name: str, said: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What flake.nix says, in the lock file's form; None where only Nix knows."""
    if "type" in said:
        # Nix makes URLs of what ssh and the shell write otherwise.
        return None if said["type"] == "git" and "://" not in str(said.get("url", "")) else said
    if "url" not in said:
        return {"type": "indirect", "id": name}
    url = said["url"]
    return _parse(url) if isinstance(url, str) and "#" not in url else None


def _parse(url: str) -> Mapping[str, Any] | None:
    base, query = split_query(url)
    scheme, colon, rest = base.partition(":")
    named = {name: value for name, value in query.items() if name in ("ref", "rev", "host")}
    if indirect := _INDIRECT.fullmatch(base):
        return {"type": "indirect", "id": indirect[1], **_branch(indirect[2].split("/")[1:]), **named}
    if not colon:
        return None
    if scheme in _FORGES:
        owner, *more = rest.split("/")
        if not more or not owner:
            return None
        return {"type": scheme, "owner": unquote(owner), "repo": unquote(more[0]), **_branch(more[1:]), **named}
    if base.startswith(_GIT):
        return {"type": "git", "url": base.removeprefix("git+"), **named}
    if scheme in ("https", "http", "tarball+https", "tarball+http", "file+https", "file+http"):
        return {"url": base.removeprefix("tarball+").removeprefix("file+")}
    return {"type": "path", "path": rest} if scheme == "path" else None


def _branch(parts: Sequence[str]) -> Mapping[str, str]:
    """What stands in the path of a reference after what it is of: a commit, or a branch and perhaps a commit."""
    if not any(parts):
        return {}
    if len(parts) == 1 and _COMMIT.fullmatch(parts[0]):
        return {"rev": parts[0]}
    if len(parts) > 1 and _COMMIT.fullmatch(parts[-1]):
        return {"ref": unquote("/".join(parts[:-1])), "rev": parts[-1]}
    return {"ref": unquote("/".join(parts))}


def _known(name: str, wanted: Mapping[str, Any]) -> bool:
    """Whether what flake.nix says tells of this. A URL alone may be a tarball or a file."""
    return name in wanted or ("type" in wanted and wanted["type"] != "path")


def _text(value: Any) -> str:
    """Two spellings of a URL are one: what a query has more, and what is percent-encoded, is left to Nix."""
    return unquote(str(value or "").partition("?")[0]).replace("file:///", "file:/").rstrip("/")


def _shown(attributes: Mapping[str, Any]) -> str:
    """A reference in its attributes, for people."""
    where = [
        str(attributes[name]) for name in ("owner", "repo", "id", "url", "path", "ref", "rev") if name in attributes
    ]
    kind = attributes.get("type", "")
    return f"{kind}:{'/'.join(where)}" if kind else "/".join(where)
