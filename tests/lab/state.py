# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab's things are, what they are called, and the lock that guards them.

A lab in another directory is another lab: it has its own names and its own network, so the two do not meet.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.shell import say

DEFAULT_DIR = Path("/var/cache/deploy-flake-lab")
DOMAIN = "deploy-flake-lab"
MAX_HOSTS = 64
# Machines have the numbers after those.
MAX_MACHINES = 4


class State:
    """The paths and names of one lab."""

    def __init__(self, directory: Path | None = None) -> None:
        self.all_machines = bool(os.environ.get("DEPLOY_FLAKE_LAB_MACHINES"))
        self.dir = (directory or Path(os.environ.get("DEPLOY_FLAKE_LAB_DIR") or DEFAULT_DIR)).absolute()
        digest = hashlib.sha256(bytes(self.dir)).hexdigest()
        own = self.dir != DEFAULT_DIR
        self.name = f"{DOMAIN}-{digest[:4]}" if own else DOMAIN
        # Interface names have at most 15 characters.
        self.link_prefix = f"dfl{digest[:4]}" if own else "dfl"
        self.bridge = f"{self.link_prefix}-br"
        # 198.18.0.0/15 is set aside for tests of network equipment, so it is nobody's real network.
        # The lab gets the first of these that no other one has.
        first = int(digest[:8], 16)
        self.subnets = [f"198.18.{100 + (first + n) % 150}" for n in range(150)] if own else ["198.18.77"]
        self.keys = self.dir / "keys"
        self.running = self.dir / "run"
        self.hosts = self.running / "hosts"
        self.inventory = self.running / "inventory.yml"
        self.known_hosts = self.running / "known_hosts"
        self.chosen_subnet = self.running / "subnet"
        self._mutex = threading.RLock()
        self._depth = 0

    @property
    def subnet(self) -> str:
        """The first three numbers of the lab's addresses; network.make_bridge settles them."""
        try:
            return self.chosen_subnet.read_text()
        except FileNotFoundError:
            return self.subnets[0]

    @property
    def controller_address(self) -> str:
        return f"{self.subnet}.254"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab for this thread alone, on the whole machine; may be entered again."""
        with self._mutex:
            if self._depth == 0:
                self.dir.mkdir(parents=True, exist_ok=True)
                self._fd = os.open(self.dir / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    say("another command is using the lab, waiting for it")
                    fcntl.flock(self._fd, fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    os.close(self._fd)


def boot_id() -> str:
    """Changes when this machine is rebooted: then nothing that was recorded runs any more."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
