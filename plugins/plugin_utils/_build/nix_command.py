# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command lines of Nix for units on the host."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable

from .._flake.unlocked import OVERRIDING, WITHOUT_LOCK_FILE
from .settings import BuildSettings

FEATURES = ("--extra-experimental-features", "nix-command flakes")
_SAYING = ("--json", "--print-out-paths", "--log-format", "internal-json")


def build_arguments(settings: BuildSettings, installable: Iterable[str]) -> tuple[str, ...]:
    """The arguments of `nix build`."""
    return for_unit("build", *FEATURES, *_SAYING, _lock_file(settings), *settings.build_args, *installable)


def eval_arguments(settings: BuildSettings, arguments: Iterable[str]) -> tuple[str, ...]:
    """The arguments of `nix eval`."""
    return for_unit("eval", *FEATURES, _lock_file(settings), *settings.build_args, *arguments)


def snapshot_of(reference: str) -> str:
    """The store path that a root on the host is named by; for a flake that the host fetches, something that none is."""
    return reference.partition("?")[0].removeprefix("path:")


def digest(words: Iterable[str]) -> str:
    """A name for words that may be secret."""
    return hashlib.sha256(shlex.join(words).encode(errors="surrogateescape")).hexdigest()[:32]


def _lock_file(settings: BuildSettings) -> str:
    """What Nix does where the lock file is not whole: it fails; or goes on without writing it, where it is told to.

    As root it would write flake.lock into the store path of a snapshot.
    """
    wanted = any(argument in settings.build_args for argument in (*OVERRIDING, *WITHOUT_LOCK_FILE))
    return "--no-write-lock-file" if wanted else "--no-update-lock-file"


def for_unit(*arguments: str) -> tuple[str, ...]:
    """Arguments for a unit of systemd on the host."""
    # systemd replaces `$NAME` in the arguments of a unit; two dollars are one.
    return tuple(argument.replace("$", "$$") for argument in arguments)
