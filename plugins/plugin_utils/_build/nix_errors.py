# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of Nix that something can be said about. Nix has no codes for them, so its own words are known here alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LINES = 30
_SAID = 8


LOCK_IT = "The lock file lacks inputs, or is behind flake.nix: run 'nix flake lock' and deploy again."
"""What to do about INCOMPLETE_LOCK_FILE."""


class NixError(Enum):
    """What has gone wrong, where Nix's message tells it."""

    NO_SUCH_ATTRIBUTE = auto()
    """The flake has no such configuration."""
    INCOMPLETE_LOCK_FILE = auto()
    """The lock file does not name every input, and cannot be written where the flake is."""
    DISK_FULL = auto()
    OUT_OF_MEMORY = auto()
    """Or probably so: a builder was killed."""
    PROGRAM_FAILED = auto()
    """git or ssh, mostly, which has said why before."""
    CANNOT_FETCH = auto()
    """A source could not be fetched: an input, or what a derivation is made from."""
    NO_DIRTY_REVISION = auto()
    """The flake reads what Nix sets only of a tree with changes that it reads itself."""
    DAEMON_GONE = auto()
    """Nix's daemon ended the connection, or there was none."""
    UNKNOWN_OF_SELF = auto()
    """The host's Nix is too old for what the flake asks of its own source."""
    MAY_NOT_BUILD = auto()
    """Something is not there that would have to be built or substituted, and Nix was told not to."""


ADVICE = {
    NixError.NO_DIRTY_REVISION: (
        "The flake reads self.dirtyRev, which hosts do not have: they get a copy of the tree, and Nix takes no dirtyRev"
        " for one. Commit the changes, or write 'self.rev or self.dirtyRev or null'."
    ),
    NixError.UNKNOWN_OF_SELF: (
        "The flake asks for submodules or Git LFS with 'inputs.self', which the host's Nix does not know: it needs Nix"
        " 2.27 or newer, or '?submodules=1' in the flake reference in its place."
    ),
}
"""What to do about an error, where that is always the same."""

_DAEMON = r"cannot open connection to remote store|[Nn]ix daemon disconnected|cannot connect to (?:socket|daemon) "

_KNOWN = {
    NixError.NO_SUCH_ATTRIBUTE: re.compile(r"does not provide attribute"),
    NixError.INCOMPLETE_LOCK_FILE: re.compile(
        r"cannot write modified lock file"
        r"|requires lock file changes but they're not allowed"
        # The flake lies in the store.
        r"|\w+ing file '[^'\n]*flake\.lock[^'\n]*': (?:Permission denied|Read-only file system)"
    ),
    NixError.DISK_FULL: re.compile(r"No space left|disk is full"),
    NixError.OUT_OF_MEMORY: re.compile(
        r"failed due to signal 9\b|out of memory|std::bad_alloc|Cannot allocate memory|Killed signal terminated program"
        r"|GC Warning: Failed to expand heap|memory exhausted",
        re.IGNORECASE,
    ),
    NixError.PROGRAM_FAILED: re.compile(
        r"program '[^'\n]*' failed|[Ff]ailed to fetch git repository"
        # It goes on with what it has of the repository, and there is nothing.
        r"|resolving Git reference '|[Cc]annot find Git revision '"
    ),
    NixError.CANNOT_FETCH: re.compile(
        r"[Uu]nable to (?:download|fetch)|[Ff]ailed to (?:open archive|fetch)|[Cc]annot find [Gg]it revision"
        r"|while (?:fetching|updating) the (?:flake )?input|program 'git' failed|executing 'git'"
        r"|resolving Git reference '"
    ),
    NixError.NO_DIRTY_REVISION: re.compile(r"attribute '(?:dirtyRev|dirtyShortRev)' missing"),
    NixError.DAEMON_GONE: re.compile(
        rf"{_DAEMON}|(?:reading from|writing to) file: (?:Connection reset|Broken pipe)|\breset by peer"
        r"|\b[Bb]roken pipe|unexpected end-of-file",
    ),
    NixError.UNKNOWN_OF_SELF: re.compile(r"unexpected flake input attribute '(?:submodules|lfs)'"),
    NixError.MAY_NOT_BUILD: re.compile(
        r"[Uu]nable to start any build|\bmax-jobs\b|is required, but|no substituter that can build it"
        r"|don't know how to build these paths|does not exist and cannot be created"
    ),
}


def recognised(message: str, build_log: Iterable[str] = ()) -> frozenset[NixError]:
    """What a message of Nix says. Of a shortage the log of the build that failed may tell as well."""
    found = {error for error, words in _KNOWN.items() if words.search(message)}
    said = "\n".join(build_log)
    found |= {error for error in (NixError.DISK_FULL, NixError.OUT_OF_MEMORY) if _KNOWN[error].search(said)}
    if {NixError.CANNOT_FETCH, NixError.DAEMON_GONE} <= found:
        # The connection was that to a server, unless Nix says which one it was.
        found.discard(NixError.CANNOT_FETCH if re.search(_DAEMON, message) else NixError.DAEMON_GONE)
    if NixError.DISK_FULL in found:
        # That is why, then.
        found.discard(NixError.CANNOT_FETCH)
    return frozenset(found)


def message_in(text: str) -> str:
    """Nix's own message in what it wrote for people; without its warnings, and without a trace that goes on and on.

    What a program said that has failed comes first: Nix names its status alone.
    """
    lines = _COLOUR.sub("", text).splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("error:")), None)
    if first is None:
        return ""
    message = "\n".join(lines[first:][-_LINES:]).strip()
    if NixError.PROGRAM_FAILED in recognised(message):
        return with_what_was_said(message, [line for line in lines[:first] if not line.startswith("warning:")])
    return message


def with_what_was_said(message: str, said: Iterable[str]) -> str:
    """The message of Nix behind the last lines of the program that has failed."""
    return "\n".join([*[line.strip() for line in said if line.strip()][-_SAID:], message])
