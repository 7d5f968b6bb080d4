# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a task is run, as far as its work depends on that."""

from __future__ import annotations

from dataclasses import dataclass, field

from .other_names import OtherNames


@dataclass(frozen=True)
class Context:
    """What Ansible says of the run that a task belongs to."""

    check_mode: bool = False
    diff_mode: bool = False
    batches: int = 1
    """In how many batches of forks all hosts of the play are served."""
    strategy: str = ""
    """The strategy of the play, if it is one that does not keep step: a host goes on though others are not as far."""
    other_names: OtherNames = field(default_factory=OtherNames)
    """Which deployments this run has begun, where one host may have several names in the inventory."""
