# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says that something goes on which says nothing itself, as a large file on its way over a slow link."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from .._host.connection import Host

_EVERY = 10.0


@contextmanager
def telling(host: Host, doing: str) -> Iterator[None]:
    """Tell every few seconds what is waited for, and for how long by now."""
    ended = Event()
    began = time.monotonic()

    def tell() -> None:
        while not ended.wait(_EVERY):
            host.tell(f"still {doing}, for {time.monotonic() - began:.0f} s")

    # It must not hold up the end of Ansible's process.
    thread = Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
