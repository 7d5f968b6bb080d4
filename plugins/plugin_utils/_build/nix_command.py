# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command lines of Nix for units on the host."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from .settings import BuildSettings

_FEATURES = ("--extra-experimental-features", "nix-command flakes")
_SAYING = ("--json", "--print-out-paths", "--log-format", "internal-json")


def build_arguments(settings: BuildSettings, installable: str) -> str:
    """The arguments of `nix build`, quoted."""
    return _quoted("build", *_FEATURES, *_SAYING, *settings.build_args, installable)


def eval_arguments(settings: BuildSettings, arguments: Iterable[str]) -> str:
    """The arguments of `nix eval`, quoted."""
    return _quoted("eval", *_FEATURES, *settings.build_args, *arguments)


def snapshot_of(reference: str) -> str:
    """The store path that a root on the host is named by; something that none is, for a flake that it fetches itself."""
    return reference.partition("?")[0].removeprefix("path:")


def _quoted(*arguments: str) -> str:
    # systemd replaces `$NAME` in the arguments of a unit; two dollars are one.
    return shlex.join(argument.replace("$", "$$") for argument in arguments)
