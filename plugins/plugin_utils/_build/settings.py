# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of what copies and builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .._codes import CopyInputs, OnOlder, Refusal
from .._flake.store_path import is_store_path
from .._host.answer import HostError


@dataclass(frozen=True, kw_only=True)
class CopySettings:
    """What a flake's way to a host is told."""

    flake: str
    """"" where the host has it already, or fetches it itself."""
    copy_timeout: int
    """Seconds for one attempt."""
    reconnect_timeout: int
    allow: tuple[str, ...]
    """What is refused otherwise."""
    copy_inputs: CopyInputs
    nix_config: str
    """Lines in the form of nix.conf for this build alone, and for what the controller fetches for it."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read the options of a module."""
        return cls(
            flake=options["flake"] or "",
            copy_timeout=options["copy_timeout"],
            reconnect_timeout=options["reconnect_timeout"],
            allow=tuple(options["allow"]),
            copy_inputs=CopyInputs(options["copy_inputs"]),
            nix_config=options.get("nix_config") or "",
        )


@dataclass(frozen=True, kw_only=True)
class BuildSettings(CopySettings):
    """What a build is told: one of a flake, a reference and a toplevel, and how."""

    reference: str
    """What the host is to build from; "" where that follows from the flake, or nothing is built."""
    toplevel: str
    """A system that was built already."""
    configuration: str
    """"" for the host's name."""
    build_args: tuple[str, ...]
    on_older: OnOlder
    check_builds: bool
    build_timeout: int
    min_free_nix: int
    """MiB that there must be on /nix before the build."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read the options of a module; HostError where the toplevel is none."""
        path = options["toplevel"] or ""
        if path and (not is_store_path(path) or path.endswith(".drv")):
            raise HostError(f"toplevel must be the store path of a system, and is {path!r}", Refusal.NOT_A_STORE_PATH)
        return cls(
            flake=options["flake"] or "",
            copy_timeout=options["copy_timeout"],
            reconnect_timeout=options["reconnect_timeout"],
            allow=tuple(options["allow"]),
            copy_inputs=CopyInputs(options["copy_inputs"]),
            reference=options.get("reference") or "",
            toplevel=path,
            configuration=options["configuration"] or "",
            build_args=tuple(options["build_args"]),
            nix_config=options["nix_config"],
            on_older=OnOlder(options["on_older"]),
            check_builds=options["check_builds"],
            build_timeout=options["build_timeout"],
            min_free_nix=options["min_free_space"]["nix"],
        )


@dataclass(frozen=True)
class BuildContext:
    """What a build needs of the task that it belongs to."""

    check_mode: bool
    shared_file: Callable[[str], Path]
    """A place for what the processes of all hosts of the task share, by what it is about."""
