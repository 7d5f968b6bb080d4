# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a flake that look like secrets. What is in a host's store, every user of the host can read.

Sources: RFC 7468 and what OpenSSH, GnuPG, age, PuTTY, Nix, WireGuard and git-crypt write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .git_attributes import Attributes
from .nar import Node

PRIVATE_KEY = "a private key"
VAULT_PASSWORD = "a vault password"
ANSIBLE_SECRET = "a password or key that this run of Ansible uses"
LOGINS = "logins to other machines"
DECRYPTED = "a decrypted file that git keeps encrypted"

# Whether there is one is cheap to ask of a file, and whether a key is behind it is not.
_KEY_WORDS = (b"PRIVATE KEY", b"AGE-SECRET-KEY-", b"rivate_key", b"rivateKey", b"rivatekey")
_KEYS = re.compile(
    # With something of the key behind it: a text that only speaks of such a line is none. In JSON and Nix a line ends
    # as backslash and n.
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\[rn]|\s)+(?:[A-Za-z0-9-]+: |[A-Za-z0-9+/=]{16})"
    rb"|AGE-SECRET-KEY-(?:[A-Z]+-)?1[0-9A-Z]{40}"
    rb"|[Pp]rivate_?[Kk]ey\s*=\s*[\"']?[A-Za-z0-9+/]{43}="
)
_KEY_FILE = re.compile(
    rb"PuTTY-User-Key-File-\d"
    rb"|== ed25519v1-secret: "
    rb"|\0GITCRYPTKEY"
    # Of Nix, for signing. A public one is shorter.
    rb"|[^\s:]{1,255}:[A-Za-z0-9+/]{86}==\s*\Z"
)
_KEY_OF_32_BYTES = re.compile(rb"\s*[A-Za-z0-9+/]{43}=\s*")
_NAMED_LIKE_A_KEY = re.compile(r"priv|wg|wireguard|psk|preshared|\.key$", re.IGNORECASE)
_KEY_STORE = re.compile(r"\.(p12|pfx)$", re.IGNORECASE)
_NAMED_LIKE_A_VAULT_PASSWORD = re.compile(r"(^|[._-])vault[._-]?(pass|pw|key|token)", re.IGNORECASE)
_NO_PASSWORD = re.compile(r"\.(nix|md|rst|ya?ml|json|toml|py|sh|html|pub|asc|gpg|age|sops|crt|pem)$", re.IGNORECASE)
_LOGINS = re.compile(rb"^\s*(machine|default)\s[^#]*\bpassword\s|^\w+://[^/\s:@]+:[^/\s@]+@", re.MULTILINE)
_NAMED_LIKE_LOGINS = (".netrc", "_netrc", "netrc", ".git-credentials")
_URL_WITH_A_LOGIN = re.compile(rb"^\s*url\s*=\s*\w+://[^/\s:@]+:[^/\s@]+@", re.MULTILINE)
_ENCRYPTING_FILTER = re.compile(r"crypt|vault|sops", re.IGNORECASE)
_ENCRYPTED_VALUES = b"ENC[AES256_GCM,"
_ENCRYPTED = re.compile(
    rb"\0GITCRYPT\0|\$ANSIBLE_VAULT;|U2FsdGVkX1|Salted__|age-encryption\.org/|-----BEGIN (?:AGE ENCRYPTED|PGP MESSAGE)"
)


@dataclass(frozen=True)
class SecretFile:
    """A file that looks like a secret."""

    path: str
    """From the root of the flake."""
    what: str
    """One of the words above, for people."""

    def __str__(self) -> str:
        """As a message names it."""
        return f"{self.path} ({self.what})"


class SecretFiles:
    """Collects them while a tree is read; nothing is read for it a second time but attributes of git."""

    def __init__(self, tree: Node, root: Path, known: Collection[Path] = ()) -> None:
        self._filters = Attributes.of(tree, "filter")
        self._known = {os.fsencode(os.path.relpath(os.path.realpath(one), root)) for one in known}
        self.found: list[SecretFile] = []

    def look(self, path: bytes, executable: bool, size: int, beginning: bytes) -> None:
        """Look at a file: how it begins, and where it is in the tree."""
        if what := self._what(path, executable, size, beginning):
            self.found.append(SecretFile(os.fsdecode(path), what))

    def _what(self, path: bytes, executable: bool, size: int, beginning: bytes) -> str:
        """What a file looks like; "" where nobody need care."""
        # What is encrypted may be read by everybody, and a program may ask for a password where it is kept.
        if not size or _ENCRYPTED.match(beginning):
            return ""
        if path in self._known and not executable:
            return ANSIBLE_SECRET
        name = os.fsdecode(path.rpartition(b"/")[2])
        whole = beginning if size == len(beginning) else b""
        if _has_key(beginning) or _KEY_STORE.search(name) or _is_key_of_32_bytes(name, whole):
            return PRIVATE_KEY
        if not executable and _is_vault_password(name, whole):
            return VAULT_PASSWORD
        if name in _NAMED_LIKE_LOGINS and _LOGINS.search(beginning):
            return LOGINS
        if (b"/" + path).endswith(b"/.git/config") and _URL_WITH_A_LOGIN.search(beginning):
            return LOGINS
        if _ENCRYPTING_FILTER.search(self._filters.value(path)) and _ENCRYPTED_VALUES not in beginning:
            return DECRYPTED
        return ""


def _has_key(beginning: bytes) -> bool:
    """Whether there is a key that says so itself."""
    if _KEY_FILE.match(beginning):
        return True
    return any(word in beginning for word in _KEY_WORDS) and _KEYS.search(beginning) is not None


def _is_key_of_32_bytes(name: str, whole: bytes) -> bool:
    """Whether this is a key of WireGuard, which says nothing of itself; a public one looks the same."""
    named = _NAMED_LIKE_A_KEY.search(name) is not None and "pub" not in name.lower()
    return named and _KEY_OF_32_BYTES.fullmatch(whole) is not None


def _is_vault_password(name: str, whole: bytes) -> bool:
    """Whether it has such a name, and is one word or sentence."""
    if not _NAMED_LIKE_A_VAULT_PASSWORD.search(name) or _NO_PASSWORD.search(name):
        return False
    lines = [line for line in whole.splitlines() if line.strip()]
    return len(lines) == 1 and not lines[0].startswith(b"#!")
