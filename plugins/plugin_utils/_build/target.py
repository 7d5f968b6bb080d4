# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is built of a flake, or of a tree of Nix files that is none."""

from __future__ import annotations

from dataclasses import dataclass

from .._flake.reference import SYSTEM, output, toplevel
from .._host.connection import Host
from .settings import BuildSettings


@dataclass(frozen=True)
class Target:
    """What is built, or evaluated."""

    installable: tuple[str, ...]
    """The last arguments of Nix."""
    name: str
    """As people know it."""
    configuration: str = ""
    """The name in nixosConfigurations; "" where something else is named."""

    @classmethod
    def of(cls, host: Host, settings: BuildSettings, reference: str, file: str) -> Target:
        """What these settings mean; by default the system that a flake has for the host.

        `file` is where on the host the file is that is built in place of a flake; "" for none.
        """
        if file:
            attribute = settings.attribute or SYSTEM
            return cls(("--file", file, attribute), f"{attribute} of {settings.file}")
        if settings.attribute:
            return cls((output(reference, settings.attribute),), settings.attribute)
        name = settings.configuration or host.on_behalf_of
        return cls((toplevel(reference, name),), name, name)
