# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a whole: its hosts, brought up, renewed and taken down together."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import cgroup, image, inventory, limits, mounts, needs, network
from lab.host import Host
from lab.shell import LabError, say
from lab.state import MAX_HOSTS, State, boot_id


class Lab:
    """The lab of one directory. Making the object changes nothing; `up` does."""

    def __init__(self, directory: Path | None = None) -> None:
        self.state = State(directory)
        needs.complete_path()

    @property
    def hosts(self) -> dict[str, Host]:
        """The hosts that have been made, in the order of their numbers, whether they are on or off."""
        names = [path.name for path in self.state.hosts.glob("host*")]
        found = [Host(self.state, name) for name in sorted(names, key=lambda name: int(name[4:]))]
        return {host.name: host for host in found}

    @property
    def inventory(self) -> Path:
        return self.state.inventory

    def up(self, count: int = 3) -> None:
        """Bring up host1 … hostN. Hosts that run already, from the same image, are left as they are.

        A host above N that is off is removed: one whose processes somebody has ended is no host to deploy to.
        """
        if not 1 <= count <= MAX_HOSTS:
            raise LabError(f"the lab has 1 to {MAX_HOSTS} hosts, not {count}")
        needs.check_machine()
        needs.install_packages()
        with self.state.locked():
            started = time.monotonic()
            layers = image.layers(self.state)
            self._drop_stale(layers)
            image.drop_old(self.state, keep=layers)
            self._prepare(layers)
            wanted = [Host(self.state, f"host{number}") for number in range(1, count + 1)]
            new = [host for host in wanted if not self._usable(host)]
            for host in self.hosts.values():
                if host.number > count and not host.alive:
                    host.remove()
            if new:
                say(f"booting {len(new)} host{'s' if len(new) > 1 else ''}")
                self.reset(new)
                say(f"{len(self.hosts)} hosts are running, after {time.monotonic() - started:.1f} s")
            inventory.write(self.state, list(self.hosts.values()))

    def down(self) -> None:
        """Remove everything but the image and the keys. May be run twice, and after any crash."""
        needs.check_machine()
        with self.state.locked():
            self._remove_hosts()
            network.remove_bridge(self.state)
            cgroup.remove(self.state)
            limits.restore(self.state)
            mounts.remove_tree(self.state.running)

    def reset_all(self) -> None:
        """Make every host as new."""
        self.reset(self.hosts.values())

    def reset(self, hosts: Iterable[Host]) -> None:
        """Make these hosts as new, all at once."""
        with self.state.locked():
            chosen = list(hosts)
            for host in chosen:
                host.reset(wait=False)
            _wait_all(chosen)

    def _prepare(self, layers: list[Path]) -> None:
        self.state.hosts.mkdir(parents=True, exist_ok=True)
        (self.state.running / "layers").write_text("".join(f"{path}\n" for path in layers))
        (self.state.running / "version").write_text(_version(layers))
        limits.raise_for(self.state)
        network.make_bridge(self.state)
        cgroup.make(self.state)

    def _drop_stale(self, layers: list[Path]) -> None:
        """Hosts of another image, of another state of the lab's code, or of before this machine's last reboot."""
        version = self.state.running / "version"
        if version.is_file() and version.read_text() == _version(layers):
            return
        if self.hosts:
            say("the image or the lab has changed, or this machine was rebooted: all hosts are made again")
        self._remove_hosts()

    def _remove_hosts(self) -> None:
        """Whatever is left of any host, also where only a part of it is left."""
        numbers = {int(name[4:]) for name in [*self.hosts, *cgroup.hosts(self.state)]}
        for number in sorted(numbers | set(network.leftovers(self.state))):
            Host(self.state, f"host{number}").remove()

    def _usable(self, host: Host) -> bool:
        if not host.alive or host.is_cut:
            return False
        try:
            host.wait_running(10)
        except LabError as error:
            say(f"{error}: it is made again")
            return False
        return True


def _wait_all(hosts: list[Host]) -> None:
    def wait(host: Host) -> None:
        # Two cores boot 32 hosts in half a minute; a slower machine takes longer.
        host.wait_running(60 + 5 * len(hosts))
        host.wait_ssh(10)

    with ThreadPoolExecutor(max_workers=len(hosts) or 1) as pool:
        list(pool.map(wait, hosts))


def _version(layers: list[Path]) -> str:
    code = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return "\n".join([boot_id(), *map(str, layers), hashlib.sha256(b"".join(code)).hexdigest()])
