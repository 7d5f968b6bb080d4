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

from lab import cgroup, image, inventory, limits, machine_image, mounts, needs, network, qemu
from lab.host import Host
from lab.machine import AS_NEW, Machine
from lab.shell import LabError, say
from lab.state import MAX_HOSTS, MAX_MACHINES, State, boot_id


class Lab:
    """The lab of one directory. Making the object changes nothing; `up` does."""

    def __init__(self, directory: Path | None = None) -> None:
        self.state = State(directory)
        needs.complete_path()

    @property
    def hosts(self) -> dict[str, Host]:
        """The hosts that have been made, in the order of their numbers, whether they are on or off."""
        names = [path.name for path in self.state.hosts.glob("host*")]
        found = [host_of(self.state, name) for name in sorted(names, key=lambda name: int(name[4:]))]
        return {host.name: host for host in found}

    @property
    def inventory(self) -> Path:
        return self.state.inventory

    @property
    def stale(self) -> bool:
        """Whether hosts that are there are of another state of this code, or of before this machine's last reboot."""
        version = self.state.running / "version"
        return not version.is_file() or version.read_text() != _version()

    def up(self, count: int = 3, machines: int = 0) -> None:
        """Bring up host1 … hostN, and machines beside them. Those that run already, from the same image, are left.

        A host above N that is off is removed: one whose processes somebody has ended is no host to deploy to.
        """
        if not (0 <= count <= MAX_HOSTS and 0 <= machines <= MAX_MACHINES and count + machines):
            raise LabError(
                f"the lab has 1 to {MAX_HOSTS} hosts and up to {MAX_MACHINES} machines, not {count} and {machines}"
            )
        needs.check_machine()
        needs.install_packages(machines=machines > 0 or self.state.all_machines)
        with self.state.locked():
            started = time.monotonic()
            # Before anything else is made of what may have changed.
            self._drop_stale()
            numbers = [*range(1, count + 1), *range(MAX_HOSTS + 1, MAX_HOSTS + machines + 1)]
            wanted = [host_of(self.state, f"host{number}") for number in numbers]
            if not all(isinstance(host, Machine) for host in wanted):
                layers = image.layers(self.state)
                image.drop_old(self.state, keep=layers)
                (self.state.running / "layers").write_text("".join(f"{path}\n" for path in layers))
            self._prepare()
            self._prepare_machines([host for host in wanted if isinstance(host, Machine)])
            new = [host for host in wanted if not self._usable(host)]
            for host in wanted:
                if host not in new and not isinstance(host, Machine):
                    # The benchmark gives all the same.
                    host.have_shell(host.shell)
            for host in self.hosts.values():
                if host.number not in numbers and not host.alive:
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

    def _prepare(self) -> None:
        limits.raise_for(self.state)
        network.make_bridge(self.state)
        cgroup.make(self.state)

    def _prepare_machines(self, machines: list[Machine]) -> None:
        if not machines:
            return
        for loader in {machine.loader for machine in machines}:
            machine_image.disk(self.state, loader)
        machine_image.drop_old(self.state)
        qemu.choose_accelerator(self.state, *machine_image.kernel(self.state, machines[0].loader))

    def _drop_stale(self) -> None:
        """Hosts of another image, of another state of the lab's code, or of before this machine's last reboot."""
        if not self.stale:
            return
        if self.hosts:
            say("the image or the lab has changed, or this machine was rebooted: all hosts are made again")
        self._remove_hosts()
        # Machines that were saved are of that, too.
        mounts.remove_tree(self.state.running / "saved")
        self.state.hosts.mkdir(parents=True, exist_ok=True)
        (self.state.running / "version").write_text(_version())

    def _remove_hosts(self) -> None:
        """Whatever is left of any host, also where only a part of it is left."""
        numbers = {int(name[4:]) for name in [*self.hosts, *cgroup.hosts(self.state)]}
        for number in sorted(numbers | set(network.leftovers(self.state))):
            host_of(self.state, f"host{number}").remove()

    def _usable(self, host: Host) -> bool:
        if not host.alive or host.is_cut:
            return False
        try:
            host.wait_running(host.answer_limit)
        except LabError as error:
            say(f"{error}: it is made again")
            return False
        return True


def _wait_all(hosts: list[Host]) -> None:
    def wait(host: Host) -> None:
        # Two cores boot 32 hosts in half a minute; a slower machine takes longer.
        host.wait_running(max(60 + 5 * len(hosts), host.boot_limit))
        host.wait_ssh(host.answer_limit)
        if isinstance(host, Machine) and not host.has_saved(AS_NEW):
            host.run("sync", check=True)
            host.save()

    with ThreadPoolExecutor(max_workers=len(hosts) or 1) as pool:
        list(pool.map(wait, hosts))


def host_of(state: State, name: str) -> Host:
    """A host, of the kind that its number says."""
    machine = state.all_machines or int(name.removeprefix("host")) > MAX_HOSTS
    return (Machine if machine else Host)(state, name)


def _version() -> str:
    code = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return "\n".join([boot_id(), image.CONTAINER.system_key, hashlib.sha256(b"".join(code)).hexdigest()])
