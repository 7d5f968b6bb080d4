# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much work makes a flake take so long to evaluate as a real one does. The example flake takes next to nothing."""

from __future__ import annotations

import resource
import statistics
from pathlib import Path

from lab import Host

_WORK = Path(__file__).parent / "flake" / "work.nix"
_PROBE = 5000
_TIMES = 3


def rounds_for(host: Host, seconds: float) -> int:
    """How many rounds of the work take the host's Nix so many seconds of a processor that it has for itself."""
    if not seconds:
        return 0
    without = statistics.median(_processor_time(host, 0) for _time in range(_TIMES))
    probe = statistics.median(_processor_time(host, _PROBE) for _time in range(_TIMES))
    return max(1, round(_PROBE * seconds / (probe - without)))


def _processor_time(host: Host, rounds: int) -> float:
    # Not by the clock: whatever else runs meanwhile would make it less work.
    expression = f'({_WORK.read_text(encoding="utf-8")}) {rounds} "{host.name}"'
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    host.run(["nix-instantiate", "--eval", "--strict", "--expr", expression], check=True, timeout=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
