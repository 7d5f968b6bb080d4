# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host, or the way to it, has too little of: with figures, and with the option that helps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .._codes import Refusal
from .._host.answer import Answer, HostError, number
from .._host.connection import Host, TimeUpError

T = TypeVar("T")
_ELSEWHERE = "build the system on another machine and deploy what it built (toplevel in place of flake)"


def free_space(answer: Answer) -> str:
    """What to do about a full disk."""
    free, total = _mib(answer.get("free")), _mib(answer.get("total"))
    return (
        f"There are {free} MiB free on /nix{f', of {total} MiB' if total else ''}. Free some: the playbook generations"
        " removes old generations, and collects garbage with deploy_flake_collect_garbage."
    )


def memory(answer: Answer) -> str:
    """What to do about too little memory."""
    total, available, swap = (
        _mib(answer.get("memory")),
        _mib(answer.get("memory_available")),
        _mib(answer.get("swap")),
    )
    has = "The host"
    if total:
        more = f"{swap} MiB of swap" if swap else "no swap"
        has = f"The host has {total} MiB of memory and {more}, and {available} MiB of the memory are free now. It"
    return (
        f"{has} needs more memory or swap (zramSwap.enable), or less to do at a time ('--max-jobs=1' and '--cores=1' in"
        f" build_args); or {_ELSEWHERE}."
    )


def in_time(host: Host, size: int, limit: int, attempt: Callable[[], T]) -> T:
    """Send something of this size; HostError where the time is up. To try again would take as long."""
    try:
        return attempt()
    except TimeUpError as error:
        raise HostError(
            f"{host.name} has not taken {size / (1 << 20):.1f} MiB within {limit} s, which needs"
            f" {max(size // max(limit, 1) >> 10, 1)} KiB a second: the link is too slow for that, or the host is (its"
            " disk, or a Nix that hangs: 'systemctl status nix-daemon' on it). Raise copy_timeout"
            " (deploy_flake_copy_timeout), leave out of the flake what is large, or have ssh compress what it sends"
            " ('-o Compression=yes'). Its system is untouched",
            Refusal.TOO_SLOW,
        ) from error


def _mib(kib: str) -> int:
    return (number(kib) or 0) // 1024
