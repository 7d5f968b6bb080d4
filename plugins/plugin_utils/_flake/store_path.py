# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hashes and store paths as Nix writes them.

Sources: "Store path specification" and "Complete store path calculation" in the Nix manual (protocols/store-path),
and section 5.1 of Eelco Dolstra's thesis. Nix base 32 leaves out e, o, t and u and starts from the last bits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

STORE = "/nix/store"

_ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"
_NAME = re.compile(r"[0-9a-zA-Z+\-._?=]{1,211}")
_HASH_PART = re.compile(f"[{_ALPHABET}]{{32}}")


@dataclass(frozen=True)
class StorePath:
    """A store path in its parts: `<store>/<hash part>-<name>`."""

    hash_part: str
    name: str
    store: str = STORE

    def __str__(self) -> str:
        """The path as it is written."""
        return f"{self.store}/{self.hash_part}-{self.name}"


def base32(data: bytes) -> str:
    """Nix base 32 of some bytes."""
    number = int.from_bytes(data, "little")
    digits = (len(data) * 8 + 4) // 5
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(digits)))


def from_base32(text: str) -> bytes:
    """The bytes that Nix base 32 stands for; ValueError for anything else."""
    number = 0
    for character in text:
        number = number << 5 | _ALPHABET.index(character)
    size = len(text) * 5 // 8
    data = number.to_bytes((len(text) * 5 + 7) // 8, "little")
    if any(data[size:]) or base32(data[:size]) != text:
        raise ValueError(f"{text!r} is not Nix base 32")
    return data[:size]


def sri(sha256: bytes) -> str:
    """A SHA-256 hash as a flake's lock file has it: `sha256-<base 64>`."""
    return "sha256-" + base64.b64encode(sha256).decode()


def parse_sha256(text: str) -> bytes:
    """The 32 bytes of a SHA-256 hash in any of Nix's forms: SRI, or base 16, 32 or 64 after `sha256:`."""
    for prefix in ("sha256-", "sha256:"):
        if text.startswith(prefix):
            digits = text[len(prefix) :]
            break
    else:
        raise ValueError(f"{text!r} is not a SHA-256 hash")
    try:
        if prefix == "sha256:" and len(digits) == 64:
            return bytes.fromhex(digits)
        if prefix == "sha256:" and len(digits) == 52:
            return from_base32(digits)
        data = base64.b64decode(digits, validate=True)
    except (ValueError, binascii.Error):
        data = b""
    if len(data) != 32:
        raise ValueError(f"{text!r} is not a SHA-256 hash")
    return data


def source_store_path(nar_sha256: bytes, name: str = "source", store: str = STORE) -> str:
    """Where Nix puts a tree with this NAR hash and no references: a flake, or `nix-store --add-fixed --recursive`.

    The path's hash is of the text `source:sha256:<base 16>:<store>:<name>`, folded to 160 bits.
    """
    if not _valid_name(name):
        raise ValueError(f"{name!r} cannot be the name of a store path")
    fingerprint = f"source:sha256:{nar_sha256.hex()}:{store}:{name}"
    return str(StorePath(base32(_fold(hashlib.sha256(fingerprint.encode()).digest(), 20)), name, store))


def parse_store_path(path: str, store: str = STORE) -> StorePath:
    """The parts of a store path; ValueError for anything else, a file inside a store path included."""
    folder, _slash, base = path.rpartition("/")
    hash_part, dash, name = base[:32], base[32:33], base[33:]
    if folder != store or dash != "-" or not _HASH_PART.fullmatch(hash_part) or not _valid_name(name):
        raise ValueError(f"{path!r} is not a path in {store}")
    return StorePath(hash_part, name, store)


def is_store_path(path: str, store: str = STORE) -> bool:
    """Whether this is a store path, well formed, with nothing after it."""
    try:
        parse_store_path(path, store)
    except ValueError:
        return False
    return True


def is_built(path: object) -> bool:
    """Whether this is the store path of something that was built, and of no derivation, which Nix would build."""
    return isinstance(path, str) and is_store_path(path) and not path.endswith(".drv")


def _fold(digest: bytes, size: int) -> bytes:
    folded = bytearray(size)
    for place, byte in enumerate(digest):
        folded[place % size] ^= byte
    return bytes(folded)


def _valid_name(name: str) -> bool:
    # "." and ".." and names that begin with them and a dash would be misread in a path.
    return _NAME.fullmatch(name) is not None and name.split("-", 1)[0] not in (".", "..")
