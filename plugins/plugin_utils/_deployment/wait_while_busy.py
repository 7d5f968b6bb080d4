# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting while somebody else switches the host: one deployment at a time is in progress there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .._codes import Refusal
from .._host.answer import HostError
from .._host.connection import Host
from .messages import who_is_busy

T = TypeVar("T")
_PAUSE = 2
"""Seconds between two attempts."""
_LOOKS = 3
"""So often it is looked at again at once where it was switched between look and start, or needs its secrets once more:
nobody holds it up then."""


def wait_while_busy(host: Host, patience: float, attempt: Callable[[], T]) -> T:
    """Try again while the host says that it is busy, for `patience` seconds; says for whom it waits."""
    ends = time.monotonic() + patience
    told = ""
    looks = 0
    while True:
        try:
            return attempt()
        except HostError as error:
            if error.reason != Refusal.BUSY:
                raise
            answer = error.answer
            if answer is not None and (answer.get("switched") or answer.get("send_secrets")) and looks < _LOOKS:
                looks += 1
                continue
            if time.monotonic() >= ends:
                said = f"{error}. It was waited for {patience} s; lock_timeout (deploy_flake_lock_timeout) is how long"
                raise HostError(said, error.reason, error.answer) from None
            if (text := who_is_busy(error)) != told:
                host.tell(f"waits up to {patience} s: {text}")
                told = text
            time.sleep(_PAUSE)
