# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a turn: one deployment at a time is at work on a host."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .._host.answer import HostError
from .._host.connection import Host
from . import messages as report

T = TypeVar("T")


def in_turn(host: Host, patience: float, attempt: Callable[[], T]) -> T:
    """Try again while the host says that it is busy, for `patience` seconds; says for whom it waits."""
    ends = time.monotonic() + patience
    told = ""
    while True:
        try:
            return attempt()
        except HostError as error:
            if error.reason != "busy" or time.monotonic() >= ends:
                raise
            if (text := report.busy(error)) != told:
                host.tell(f"waits up to {patience} s: {text}")
                told = text
            time.sleep(2)
