# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is signed of a store path: as `nix path-info --json` says it, and as a binary cache does (its .narinfo)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._codes import Refusal
from .._flake.store_path import STORE, base32, is_store_path, parse_sha256
from .._host.answer import HostError

# The host that is asked need not be trusted, and its words become lines of text for another. A key may have any name.
_SIGNATURE = re.compile(r"[!-9;-~]+:[0-9A-Za-z+/]+={0,2}")


@dataclass(frozen=True)
class Signed:
    """What is signed of a path, or proven by its name."""

    hash: bytes
    """The SHA-256 of its NAR."""
    size: int
    references: frozenset[str]
    narinfo: str
    """What a binary cache would say."""


def read(text: str) -> dict[str, Signed]:
    """What is said of each path. The form of the JSON depends on the version of Nix."""
    try:
        return {path: _signed(path, info) for path, info in _paths(json.loads(text))}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HostError(
            f"what 'nix path-info --json' says of the closure is not understood ({error!r}); nothing was copied. Look"
            " at the host that has it: its Nix is newer than all that are known here, or is not Nix",
            Refusal.NO_ANSWER,
        ) from error


def write(paths: Iterable[str], signed: Mapping[str, Signed]) -> str:
    """The same for another host, each path behind a line with its name; HostError where nothing is said of one."""
    paths = list(paths)
    if unsaid := [path for path in paths if path not in signed]:
        raise HostError(
            f"nothing was said of the signatures of {unsaid[0]}, which belongs to the closure; nothing was copied",
            Refusal.NO_ANSWER,
        )
    return "".join(f"path {_name(path)}\n{signed[path].narinfo}" for path in paths)


def _paths(said: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # Newer ones say which form it is, and use names without the directory.
    infos = said.get("info", said) if isinstance(said, dict) else said
    found = infos.items() if isinstance(infos, dict) else ((one["path"], one) for one in infos)
    for path, info in found:
        yield f"{STORE}/{_name(path)}", info


def _signed(path: str, info: Mapping[str, Any]) -> Signed:
    sha256, size = parse_sha256(_hash(info["narHash"])), _size(info["narSize"])
    references = [_name(one) for one in info["references"]]
    nar_hash = f"sha256:{base32(sha256)}"
    lines = [
        f"StorePath: {path}",
        # Nobody fetches it from there.
        "URL: nar",
        "Compression: none",
        f"NarHash: {nar_hash}",
        f"NarSize: {size}",
        f"References: {' '.join(references)}",
        *(f"Sig: {one}" for one in _signatures(info.get("signatures") or ())),
        # Of a name that is made of any other hash nothing follows for the NAR, and so it needs a signature.
        *([f"CA: fixed:r:{nar_hash}"] if _is_proven(info.get("ca"), sha256) else []),
    ]
    narinfo = "".join(f"{line}\n" for line in lines)
    return Signed(sha256, size, frozenset(f"{STORE}/{name}" for name in references), narinfo)


def _size(said: Any) -> int:
    if isinstance(said, bool) or not isinstance(said, int) or said < 0:
        raise ValueError(f"{said!r} is no size")
    return said


def _hash(said: Any) -> str:
    """As text; newer ones say in fields what it is."""
    if not isinstance(said, Mapping):
        return str(said)
    return f"{said['algorithm']}{'-' if said.get('format') == 'base64' else ':'}{said['hash']}"


def _signatures(said: Iterable[Any]) -> Iterator[str]:
    """Those that fit in a line; without one of the others a path may be refused, by its name."""
    for one in said:
        text = f"{one.get('keyName', '')}:{one.get('sig', '')}" if isinstance(one, Mapping) else one
        if isinstance(text, str) and _SIGNATURE.fullmatch(text):
            yield text


def _is_proven(said: Any, sha256: bytes) -> bool:
    """Whether the name of the path is made of the hash of its NAR."""
    if isinstance(said, Mapping):
        method, content = said.get("method"), said.get("hash")
    else:
        kind, content = str(said)[:8], str(said)[8:]
        method = "nar" if kind == "fixed:r:" else ""
    try:
        return method == "nar" and parse_sha256(_hash(content)) == sha256
    except ValueError:
        return False


def _name(path: Any) -> str:
    """Of a store path with its directory or without."""
    name = str(path).removeprefix(f"{STORE}/")
    if not isinstance(path, str) or not is_store_path(f"{STORE}/{name}"):
        raise ValueError(f"{path!r} is not a store path")
    return name
