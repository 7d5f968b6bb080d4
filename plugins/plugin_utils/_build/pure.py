# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what Nix is asked has one answer for ever, which the host may know already."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from .._flake.local import FLAKE
from .nix_command import digest, snapshot_of
from .settings import BuildSettings

if TYPE_CHECKING:
    # It resolves references by evaluating.
    from .transfer import Sources

NOT_PURE: Mapping[str, str] = MappingProxyType({"pure": "", "flake_nix": ""})
"""Inputs of scripts, where more than locked sources can change the answer."""


def pure(settings: BuildSettings, sources: Sources | None, arguments: Sequence[str], user: str) -> Mapping[str, str]:
    """Inputs of scripts: a name for what is asked, and the file in which a flake may say that it is not pure.

    Files are evaluated impurely, and extra arguments may ask for that. What is no flake of the controller's may not be
    locked.
    """
    if sources is None or settings.file or settings.build_args:
        return NOT_PURE
    flake_nix = posixpath.join(snapshot_of(sources.reference), sources.flake.directory, FLAKE)
    return {"pure": digest([settings.nix_config, user, *arguments]), "flake_nix": flake_nix}
